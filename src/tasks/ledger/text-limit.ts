/** Cuts a text that is over `limit` characters. These are Unicode code points, as everywhere in the contract. */
export function cut(text: string, limit: number): string {
  if (text.length <= limit) {
    return text;
  }
  const characters = Array.from(text);
  return characters.length <= limit ? text : `${characters.slice(0, limit - 1).join('')}…`;
}

/**
 * Whether a list of what a client takes, such as `Accept` or `Accept-Encoding`, names something, and does not refuse it
 * (RFC 9110, section 12.4.2). What stands for anything, `*`, names nothing.
 */
export function accepts(list: string | undefined, name: string): boolean {
  return (list ?? '').split(',').some((entry) => {
    const [named = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase());
    return named === name && !parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter));
  });
}

/**
 * Characters that do not show, or that change how others show: a text that has them reads differently from what it
 * is. Control characters, but for tabs and line breaks; those that turn the direction of writing; separators of lines
 * and paragraphs; and those that are ignored where text is displayed.
 *
 * The last are not hidden where they do what they are for: joiners, as in Persian, the scripts of India and emoji,
 * and variation selectors follow what they can act on, which is not ASCII (but for digits on keycaps); the tags of
 * a flag follow the black flag.
 */
const hidden =
  /[[\p{Cc}--[\t\n\r]]\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\ufff9-\ufffb[\p{Default_Ignorable_Code_Point}--[\p{Join_Control}\p{Variation_Selector}\u180e\u{e0020}-\u{e007f}]]]|(?<![^\0-\x7f])[\p{Join_Control}\u180e]|(?<![[^\0-\x7f]#*0-9])\p{Variation_Selector}|(?<!\u{1f3f4}[\u{e0020}-\u{e007e}]{0,8})[\u{e0020}-\u{e007f}]/gv;

/** The first character of a text that is hidden, by its code point such as `U+202E`; undefined if there is none. */
export function firstHidden(text: string): string | undefined {
  const found = text.matchAll(hidden).next().value;
  const codePoint = found?.[0].codePointAt(0);
  return codePoint === undefined
    ? undefined
    : `U+${codePoint.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** A text with its hidden characters written as JSON escapes them, such as `\u202e`. Of JSON it makes the same JSON. */
export function withHiddenEscaped(text: string): string {
  return text.replaceAll(hidden, (character) =>
    Array.from(
      { length: character.length },
      (_, index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}

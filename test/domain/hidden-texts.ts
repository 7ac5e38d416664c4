/** Texts that people write. */
export const legalTexts = [
  'plain',
  'two\tcolumns\nand lines\r\n',
  'שלום עולם',
  'مرحبا بالعالم',
  'می\u200cخواهم',
  'क्\u200dष',
  'ശ്രീ ന്\u200d',
  '\u1820\u180b\u180e\u1820',
  'e\u0301 и\u0306',
  '日本語 葛\u{e0100}',
  '👩\u200d👩\u200d👧',
  '👁\ufe0f\u200d🗨\ufe0f ❤\ufe0f 👍🏽',
  'key 1\ufe0f\u20e3 #\ufe0f\u20e3',
  '🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}',
  '\u0600\u0661',
  'a\u00a0b\u3000c',
];

/** Texts that read differently from what they are, by the character that makes them so. */
export const deceivingTexts: readonly (readonly [string, string])[] = [
  ...[0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e].map(textWith),
  ...[0x2066, 0x2067, 0x2068, 0x2069].map(textWith),
  ...[0, 7, 8, 0x1b, 0x7f, 0x85, 0x9b].map(textWith),
  ...[0x00ad, 0x034f, 0x115f, 0x200b, 0x2028, 0x2029, 0x2060, 0x2062, 0x3164].map(textWith),
  ...[0xfeff, 0xfff9, 0x1d173, 0xe0001, 0xe0061].map(textWith),
  // Not after anything that they can act on.
  ...[0x200c, 0x200d, 0xfe0f, 0x180e, 0xe0100].map(textWith),
];

function textWith(codePoint: number): readonly [string, string] {
  const name = `U+${codePoint.toString(16).toUpperCase().padStart(4, '0')}`;
  return [name, `a${String.fromCodePoint(codePoint)}b`];
}

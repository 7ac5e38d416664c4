import { InvalidArgumentError } from 'commander';

const factors: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

/** A size such as `20GiB`, `500 MB` or `1048576`, in bytes. @throws InvalidArgumentError */
export function byteSize(text: string): number {
  const [, count, unit] = /^(\d+(?:\.\d+)?) ?([kmgt]i?)?b?$/i.exec(text) ?? [];
  const factor = factors[unit?.toLowerCase() ?? ''];
  const bytes = Number(count) * (factor ?? Number.NaN);
  if (!Number.isSafeInteger(bytes)) {
    throw new InvalidArgumentError('It has to be like 20GiB, 500MB or 1048576.');
  }
  return bytes;
}

const unitMs: Readonly<Record<string, number>> = { s: 1e3, m: 6e4, h: 36e5, d: 864e5 };

/** A length of time such as `90s`, `15m`, `12h` or `7d`, in ms. @throws InvalidArgumentError */
export function duration(text: string): number {
  const [, count, unit] = /^(\d{1,6}(?:\.\d+)?)([smhd])$/.exec(text) ?? [];
  const factor = unitMs[unit ?? ''];
  if (count === undefined || factor === undefined) {
    throw new InvalidArgumentError('It has to be like 90s, 15m, 12h or 7d.');
  }
  return Math.round(Number(count) * factor);
}

/** How many, at least one. @throws InvalidArgumentError */
export function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) {
    throw new InvalidArgumentError('It has to be a whole number from 1 on.');
  }
  return Number(text);
}

/** How many at the same time. @throws InvalidArgumentError */
export function parallel(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) {
    throw new InvalidArgumentError('It has to be from 1 to 99.');
  }
  return Number(text);
}

/** Adds one more `key=value` to those that were given before. @throws InvalidArgumentError */
export function keyValue(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) {
    throw new InvalidArgumentError('It has to be like os=debian.');
  }
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** Adds one more value to those that were given before. */
export function oneMore(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}

/** Adds one or more words of a list, with commas between. @throws InvalidArgumentError */
export function wordsOf(
  words: readonly string[],
): (text: string, before?: readonly string[]) => string[] {
  return (text, before = []) => {
    const given = text.split(',');
    if (!given.every((word) => words.includes(word))) {
      throw new InvalidArgumentError(`Allowed are ${words.join(', ')}.`);
    }
    return [...before, ...given];
  };
}

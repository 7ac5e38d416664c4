/** Bytes of a header, and the unit in which files are stored. */
export const tarBlockBytes = 512;

const checksumStart = 148;
const checksumEnd = 156;

/** What a header says of an entry. */
export interface TarHeader {
  readonly name: string;
  readonly size: number;
  /** The type flag: one character. */
  readonly type: string;
}

/** Whether bytes begin with a tar header in the format ustar or GNU's (POSIX.1-2017, pax, "ustar Interchange Format"). */
export function isTarHeader(head: Uint8Array): boolean {
  if (head.byteLength < tarBlockBytes) {
    return false;
  }
  const text = Buffer.from(head).toString('latin1');
  const written = /^ *([0-7]+)[ \0]/.exec(text.slice(checksumStart, checksumEnd));
  if (!text.startsWith('ustar', 257) || written?.[1] === undefined) {
    return false;
  }
  return checksum(head) === Number.parseInt(written[1], 8);
}

/** Reads a header; undefined where there is none, or where its checksum or its size is wrong. */
export function readTarHeader(block: Uint8Array): TarHeader | undefined {
  const size = sizeIn(block);
  if (!isTarHeader(block) || size === undefined) {
    return undefined;
  }
  // Only POSIX's own format has the first part of a long name here: GNU's has times.
  const prefix = block[262] === 0 ? textIn(block, 345, 155) : '';
  const name = textIn(block, 0, 100);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    size,
    type: String.fromCharCode(block[156] ?? 0),
  };
}

/** Octal digits, or for large files GNU's binary number, which begins with a set bit. */
function sizeIn(block: Uint8Array): number | undefined {
  const field = Buffer.from(block.subarray(124, 136));
  if (field[0] === 0x80) {
    const size = field.readBigUInt64BE(4);
    return field.readUInt32BE(0) === 0x8000_0000 && size <= BigInt(Number.MAX_SAFE_INTEGER)
      ? Number(size)
      : undefined;
  }
  const digits = /^ *([0-7]*)[ \0]*$/.exec(field.toString('latin1'))?.[1];
  return digits === undefined ? undefined : Number.parseInt(`0${digits}`, 8);
}

function textIn(block: Uint8Array, start: number, length: number): string {
  const bytes = Buffer.from(block.subarray(start, start + length));
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end === -1 ? length : end);
}

/** The sum of the header's bytes with the checksum itself taken as spaces. */
function checksum(header: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < tarBlockBytes; at++) {
    sum += at >= checksumStart && at < checksumEnd ? 0x20 : (header[at] ?? 0);
  }
  return sum;
}

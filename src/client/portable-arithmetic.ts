import { sha256 } from '@noble/hashes/sha2.js';
import type { Arithmetic } from './calls/platform.ts';

/** The reversed polynomial of Castagnoli (RFC 3720, appendix B.4). */
const polynomial = 0x82f63b78;

/** What a byte contributes that stands so many bytes before the end: eight tables, for eight bytes at a time. */
const tables = castagnoliTables();

function castagnoliTables(): readonly Uint32Array[] {
  const first = Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = (crc >>> 1) ^ ((crc & 1) === 1 ? polynomial : 0);
    }
    return crc;
  });
  const all = [first];
  for (let last = first; all.length < 8; all.push(last)) {
    last = last.map((crc) => (crc >>> 8) ^ at(first, crc & 255));
  }
  return all;
}

function at(table: Uint32Array, index: number): number {
  return table[index] ?? 0;
}

function crc32c(bytes: Uint8Array): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as Tables;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const eights = bytes.length - (bytes.length % 8);
  let crc = -1;
  for (let i = 0; i < eights; i += 8) {
    const low = view.getUint32(i, true) ^ crc;
    const high = view.getUint32(i + 4, true);
    crc =
      at(t7, low & 255) ^
      at(t6, (low >>> 8) & 255) ^
      at(t5, (low >>> 16) & 255) ^
      at(t4, low >>> 24) ^
      at(t3, high & 255) ^
      at(t2, (high >>> 8) & 255) ^
      at(t1, (high >>> 16) & 255) ^
      at(t0, high >>> 24);
  }
  for (const byte of bytes.subarray(eights)) {
    crc = (crc >>> 8) ^ at(t0, (crc ^ byte) & 255);
  }
  return ~crc >>> 0;
}

type Tables = readonly [
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
  Uint32Array,
];

function allZeros(bytes: Uint8Array): boolean {
  if (bytes.byteOffset % 4 !== 0 || bytes.length % 4 !== 0) {
    return bytes.every((byte) => byte === 0);
  }
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  for (const word of words) {
    if (word !== 0) {
      return false;
    }
  }
  return true;
}

/** JavaScript alone: what runs in every page, whatever its Content-Security-Policy, and secure or not. */
export const portableArithmetic: Arithmetic = {
  crc32c,
  sha256: () => {
    const hash = sha256.create();
    return {
      update: (bytes) => void hash.update(bytes),
      hex: () => Array.from(hash.digest(), (byte) => byte.toString(16).padStart(2, '0')).join(''),
    };
  },
  allZeros,
};

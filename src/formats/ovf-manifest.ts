import { quoted } from '../domain/quoted.ts';
import { mismatch, type Refusal } from './inspection.ts';

/** Algorithms of digests, by the bytes that theirs have. */
const digestBytes = { md5: 16, sha1: 20, sha224: 28, sha256: 32, sha384: 48, sha512: 64 } as const;

/** An algorithm as node:crypto calls it. */
export type DigestAlgorithm = keyof typeof digestBytes;

/** What a manifest says of a file. */
export interface ManifestLine {
  readonly name: string;
  readonly algorithm: DigestAlgorithm;
  /** Lower-case hex. */
  readonly digest: string;
}

/**
 * Reads a manifest: lines such as `SHA256(disk.vmdk)= 5891b5…` (DMTF DSP0243, "Distribution").
 *
 * @throws Refusal
 */
export function readOvfManifest(bytes: Uint8Array): ManifestLine[] {
  const lines = Buffer.from(bytes).toString().split(/\r?\n/);
  const read = lines.filter((line) => line.trim() !== '').map(readLine);
  const names = new Set(read.map(({ name }) => name));
  if (names.size < read.length) {
    throw unreadable('it has two digests of one file');
  }
  return read;
}

function readLine(line: string): ManifestLine {
  const [, algorithm, name, hex] =
    /^(\w{1,8})\s{0,8}\(([^\r\n]{1,4096})\)\s{0,8}=\s{0,8}([\da-f]{1,128})\s*$/i.exec(line) ?? [];
  const known = (Object.keys(digestBytes) as DigestAlgorithm[]).find(
    (known) => known === algorithm?.toLowerCase().replace('-', ''),
  );
  if (name === undefined || hex === undefined || known === undefined) {
    throw unreadable(`it has a line that is not known: ${quoted(line)}`);
  }
  if (hex.length !== 2 * digestBytes[known]) {
    throw unreadable(`the digest of ${quoted(name)} is no ${known}`);
  }
  return { name: name.replace(/^(?:\.\/+)+/, ''), algorithm: known, digest: hex.toLowerCase() };
}

function unreadable(why: string): Refusal {
  return mismatch(
    'unreadable manifest',
    `its manifest cannot be read: ${why}. Make it anew, or pack the archive without one`,
  );
}

import { createHash, getHashes, type Hash } from 'node:crypto';
import type { GlanceImage } from './glance-image.ts';

/** Digests of a whole image, in hex. */
export interface WholeDigests {
  readonly md5: string;
  readonly sha256: string;
  /** By the algorithm that Glance names, if there is such a one here. */
  readonly named: string | undefined;
}

type Stated = Pick<GlanceImage, 'checksum' | 'os_hash_algo' | 'os_hash_value'>;

/** The digests of an image's bytes, all of them, from the first to the last. */
export class SourceDigests {
  readonly #md5 = createHash('md5');
  readonly #sha256 = createHash('sha256');
  readonly #named: Hash | undefined;

  constructor({ os_hash_algo: algorithm }: Stated) {
    this.#named =
      algorithm && algorithm !== 'sha256' && getHashes().includes(algorithm)
        ? createHash(algorithm)
        : undefined;
  }

  update(bytes: Uint8Array): void {
    this.#md5.update(bytes);
    this.#sha256.update(bytes);
    this.#named?.update(bytes);
  }

  digest(): WholeDigests {
    return {
      md5: this.#md5.digest('hex'),
      sha256: this.#sha256.digest('hex'),
      named: this.#named?.digest('hex'),
    };
  }
}

/**
 * Holds digests against those that Glance states.
 *
 * @returns the algorithms by which they agree, none where Glance states none that can be computed; or what does not agree.
 */
export function compareDigests(
  digests: WholeDigests,
  { checksum, os_hash_algo: algorithm, os_hash_value: value }: Stated,
): { readonly agree: readonly string[]; readonly differ: readonly string[] } {
  const named = algorithm === 'sha256' ? digests.sha256 : digests.named;
  const pairs = [
    ['md5', digests.md5, checksum],
    [algorithm ?? '', named, value],
  ] as const;
  const known = pairs.filter(([, one, other]) => one !== undefined && other);
  const namesOf = (isSame: boolean): string[] =>
    known
      .filter(([, one, other]) => (one === other?.toLowerCase()) === isSame)
      .map(([name]) => name);
  return { agree: namesOf(true), differ: namesOf(false) };
}

/** The fields of RFC 9530 by which Darkroom checks the whole image itself; undefined where Glance states no such digest. */
export function statedDigest(image: Stated): string | undefined {
  const { os_hash_algo: algorithm, os_hash_value: value } = image;
  const name = { sha256: 'sha-256', sha512: 'sha-512' }[algorithm ?? ''];
  return name === undefined || !value ? undefined : digestField(name, value);
}

/** One member of Repr-Digest. @param hex the digest. */
export function digestField(name: string, hex: string): string {
  return `${name}=:${Buffer.from(hex, 'hex').toString('base64')}:`;
}

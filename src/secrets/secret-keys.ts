import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { DarkroomError } from '../domain/darkroom-error.ts';

const cipher = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;
/** Bytes of a key. */
export const keyBytes = 32;

/** Keys by their ids. The first one seals. */
interface KeyRing {
  readonly first: readonly [id: string, key: Buffer];
  readonly all: ReadonlyMap<string, Buffer>;
}

/**
 * Seals texts that the database must not hold as they are: AES-256-GCM, with the id of the key beside. The first key seals,
 * and all of them open, so that keys can be exchanged.
 */
export class SecretKeys {
  #ring: KeyRing;
  readonly #renew: () => Promise<void>;

  /**
   * @param keys of 32 bytes each; the first one seals.
   * @param renew looks whether there are others by now, and exchanges them.
   * @throws RangeError if there is none.
   */
  constructor(keys: readonly Buffer[], renew: () => Promise<void> = () => Promise.resolve()) {
    this.#ring = ringOf(keys);
    this.#renew = renew;
  }

  /** Has other keys from now on. @throws RangeError as the constructor. */
  exchange(keys: readonly Buffer[]): void {
    this.#ring = ringOf(keys);
  }

  /** Has the key by which a text was sealed looked for, where it is not known: it may have come just now. */
  async seekKeyOf(envelope: string): Promise<void> {
    if (keyOf(this.#ring, envelope).key === undefined) {
      await this.#renew();
    }
  }

  /** How texts begin that the first key has sealed. */
  get currentPrefix(): string {
    return `v1.${this.#ring.first[0]}.`;
  }

  /** @param place of what is sealed: elsewhere it cannot be opened. */
  seal(text: string, place: string): string {
    const iv = randomBytes(ivBytes);
    const sealing = createCipheriv(cipher, this.#ring.first[1], iv, { authTagLength: tagBytes });
    sealing.setAAD(Buffer.from(place));
    const sealed = Buffer.concat([sealing.update(text, 'utf8'), sealing.final()]);
    const whole = Buffer.concat([iv, sealing.getAuthTag(), sealed]);
    return `${this.currentPrefix}${whole.toString('base64url')}`;
  }

  /** @throws DarkroomError SECRETS_UNREADABLE: another key has sealed it, or it was altered or moved. */
  open(envelope: string, place: string): string {
    const { id, key, payload } = keyOf(this.#ring, envelope);
    if (key === undefined) {
      throw unreadable(`its key, ${id}, is none of those that this process has`);
    }
    const whole = Buffer.from(payload, 'base64url');
    try {
      const opening = createDecipheriv(cipher, key, whole.subarray(0, ivBytes), {
        authTagLength: tagBytes,
      });
      opening.setAAD(Buffer.from(place));
      opening.setAuthTag(whole.subarray(ivBytes, ivBytes + tagBytes));
      const text = opening.update(whole.subarray(ivBytes + tagBytes));
      return Buffer.concat([text, opening.final()]).toString('utf8');
    } catch (error) {
      throw unreadable('it was altered, or belongs elsewhere', error);
    }
  }
}

function ringOf(keys: readonly Buffer[]): KeyRing {
  const byId = keys.map((key) => [idOf(key), key] as const);
  const [first] = byId;
  if (first === undefined || keys.some(({ length }) => length !== keyBytes)) {
    throw new RangeError(`at least one key of ${keyBytes} bytes is needed`);
  }
  return { first, all: new Map(byId) };
}

function keyOf({ all }: KeyRing, envelope: string) {
  const [version, id = '', payload = ''] = envelope.split('.');
  return { id, key: version === 'v1' ? all.get(id) : undefined, payload };
}

function unreadable(why: string, cause?: unknown): DarkroomError {
  return new DarkroomError(
    'SECRETS_UNREADABLE',
    `What is to be fetched is stored encrypted and cannot be read: ${why}. An operator has to give the service the key ` +
      'by DARKROOM_SECRETS_KEY_FILE; or create the image anew.',
    { cause },
  );
}

/** Tells keys apart, and nothing of what they are. */
function idOf(key: Buffer): string {
  return createHash('sha256').update('darkroom key id').update(key).digest('hex').slice(0, 16);
}

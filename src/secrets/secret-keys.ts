import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { DarkroomError } from '../domain/darkroom-error.ts';

const cipher = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;
/** Bytes of a key. */
export const keyBytes = 32;

/**
 * Seals texts that the database must not hold as they are: AES-256-GCM, with the id of the key beside. The first key seals,
 * and all of them open, so that keys can be exchanged.
 */
export class SecretKeys {
  readonly #keys: ReadonlyMap<string, Buffer>;
  readonly #first: readonly [id: string, key: Buffer];

  /** @param keys of 32 bytes each; the first one seals. @throws if there is none. */
  constructor(keys: readonly Buffer[]) {
    const byId = keys.map((key) => [idOf(key), key] as const);
    const [first] = byId;
    if (first === undefined || keys.some(({ length }) => length !== keyBytes)) {
      throw new RangeError(`at least one key of ${keyBytes} bytes is needed`);
    }
    this.#first = first;
    this.#keys = new Map(byId);
  }

  /** How texts begin that the first key has sealed. */
  get currentPrefix(): string {
    return `v1.${this.#first[0]}.`;
  }

  /** @param place of what is sealed: elsewhere it cannot be opened. */
  seal(text: string, place: string): string {
    const iv = randomBytes(ivBytes);
    const sealing = createCipheriv(cipher, this.#first[1], iv, { authTagLength: tagBytes });
    sealing.setAAD(Buffer.from(place));
    const sealed = Buffer.concat([sealing.update(text, 'utf8'), sealing.final()]);
    const whole = Buffer.concat([iv, sealing.getAuthTag(), sealed]);
    return `${this.currentPrefix}${whole.toString('base64url')}`;
  }

  /** @throws DarkroomError SECRETS_UNREADABLE: another key has sealed it, or it was altered or moved. */
  open(envelope: string, place: string): string {
    const [version, id = '', payload = ''] = envelope.split('.');
    const key = version === 'v1' ? this.#keys.get(id) : undefined;
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

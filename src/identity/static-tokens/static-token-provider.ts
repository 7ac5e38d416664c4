import type { Role } from '../../access/caller.ts';
import {
  credentialExpired,
  credentialInvalid,
  type Identity,
  type TokenProvider,
} from '../identity.ts';
import { WatchedFile } from '../../runtime/watched-file.ts';
import { hasHash, isStaticToken, parseToken } from './token-text.ts';
import { parseTokenFile, type TokenRecord } from './token-file.ts';

/** Compared with where there is no such token, so that it takes as long. */
const noHash = new Uint8Array(32);

/** A token with the identity that all its calls share, so that it can be taken back from them. */
class KnownToken implements Identity {
  readonly record: TokenRecord;
  readonly sha256: Uint8Array;
  readonly userId: string;
  readonly projectId: string | undefined;
  readonly roles: readonly Role[];
  readonly expiresAtMs: number;
  isRevoked = false;

  constructor(record: TokenRecord) {
    this.record = record;
    this.sha256 = Buffer.from(record.sha256, 'hex');
    this.userId = record.user;
    this.projectId = record.project;
    this.roles = record.roles;
    this.expiresAtMs =
      record.expireTime === undefined ? Number.POSITIVE_INFINITY : Date.parse(record.expireTime);
  }
}

/** Knows callers by the tokens of a file, which is read again whenever it changes. */
export class StaticTokenProvider implements TokenProvider {
  readonly #file: WatchedFile<readonly TokenRecord[]>;
  #known = new Map<string, KnownToken>();

  /** @throws WatchedFileError */
  constructor(path: string, onBroken: (message: string) => void) {
    this.#file = new WatchedFile({
      path,
      parse: parseTokenFile,
      onChange: (tokens) => this.#know(tokens),
      onBroken,
    });
    this.#know(this.#file.value);
  }

  takes(token: string): boolean {
    return isStaticToken(token);
  }

  identify(token: string): Identity {
    const parts = parseToken(token);
    if (parts === undefined) {
      throw credentialInvalid('the token is not whole');
    }
    const known = this.#known.get(parts.id);
    const isRight = hasHash(parts.secret, known?.sha256 ?? noHash);
    if (known === undefined || !isRight) {
      throw credentialInvalid('the token is not known, or was revoked');
    }
    if (known.expiresAtMs <= Date.now()) {
      throw credentialExpired('the token');
    }
    return known;
  }

  close(): void {
    this.#file.close();
  }

  /** A token that is still there as it was keeps its identity; all others are taken back. */
  #know(tokens: readonly TokenRecord[]): void {
    const before = this.#known;
    this.#known = new Map(
      tokens.map((record) => {
        const old = before.get(record.id);
        const isSame = old !== undefined && JSON.stringify(old.record) === JSON.stringify(record);
        return [record.id, isSame ? old : new KnownToken(record)];
      }),
    );
    for (const [id, old] of before) {
      if (this.#known.get(id) !== old) {
        old.isRevoked = true;
      }
    }
  }
}

import type { Role } from '../../access/caller.ts';
import {
  credentialExpired,
  credentialInvalid,
  type CertificateNames,
  type CertificateProvider,
  type Identity,
} from '../identity.ts';
import { WatchedFile } from '../../runtime/watched-file.ts';
import { comparable, parseCertificateFile, type MappedName } from './certificate-file.ts';

/** What the file says of a name, for as long as it does. */
interface Mapping {
  readonly said: MappedName;
  isRevoked: boolean;
}

/** Somebody with a certificate. */
class CertificateIdentity implements Identity {
  readonly expiresAtMs: number;
  readonly #mapping: Mapping;

  constructor(mapping: Mapping, expiresAtMs: number) {
    this.#mapping = mapping;
    this.expiresAtMs = expiresAtMs;
  }

  get userId(): string {
    return this.#mapping.said.user;
  }

  get projectId(): string | undefined {
    return this.#mapping.said.project;
  }

  get roles(): readonly Role[] {
    return this.#mapping.said.roles;
  }

  get isRevoked(): boolean {
    return this.#mapping.isRevoked;
  }
}

/** Knows callers by names in their certificates, as a file maps them, which is read again whenever it changes. */
export class CertificateIdentities implements CertificateProvider {
  readonly #file: WatchedFile<readonly MappedName[]>;
  #mappings = new Map<string, Mapping>();

  /** @throws WatchedFileError */
  constructor(path: string, onBroken: (message: string) => void) {
    this.#file = new WatchedFile({
      path,
      parse: parseCertificateFile,
      onChange: (names) => this.#map(names),
      onBroken,
    });
    this.#map(this.#file.value);
  }

  /** Of several names that are mapped, the first one in the certificate counts. */
  identify({ names, expiresAtMs }: CertificateNames): Identity {
    const mapping = names
      .map((name) => this.#mappings.get(comparable(name)))
      .find((one) => one !== undefined);
    if (mapping === undefined) {
      throw credentialInvalid('no name in the client certificate is known here');
    }
    if (expiresAtMs <= Date.now()) {
      throw credentialExpired('the client certificate');
    }
    return new CertificateIdentity(mapping, expiresAtMs);
  }

  close(): void {
    this.#file.close();
  }

  /** Who is still there as it was stays known; all others are so no more. */
  #map(names: readonly MappedName[]): void {
    const before = this.#mappings;
    this.#mappings = new Map(
      names.map((said) => {
        const key = comparable(said.name);
        const old = before.get(key);
        const isSame = old !== undefined && JSON.stringify(old.said) === JSON.stringify(said);
        return [key, isSame ? old : { said, isRevoked: false }];
      }),
    );
    for (const [key, old] of before) {
      if (this.#mappings.get(key) !== old) {
        old.isRevoked = true;
      }
    }
  }
}

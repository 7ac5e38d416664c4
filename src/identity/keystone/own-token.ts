import { expiringSignal } from './expiring-signal.ts';
import { WatchedFile } from '../../runtime/watched-file.ts';
import { OwnCredentialsRefusedError, type IssuedToken, type KeystoneApi } from './keystone-api.ts';

/** So long before its end a token is not used any more, in ms: what is asked with it takes its time, and clocks differ. */
const marginMs = 60_000;
/** Credentials that were refused are not tried more often, in ms: Keystone may lock a user who fails too often. */
const pauseMs = 30_000;

/** By what Keystone knows the service. */
export type OwnCredentials =
  | {
      readonly kind: 'user';
      readonly user: string;
      readonly userDomain: string;
      readonly project: string;
      readonly projectDomain: string;
    }
  | { readonly kind: 'application credential'; readonly id: string };

/** How the service gets a token. */
export interface OwnTokenOptions {
  readonly credentials: OwnCredentials;
  /** Has the password of the user, or the secret of the application credential; read again when it changes. */
  readonly secretFile: string;
  /** How long Keystone may take to issue it, in ms. */
  readonly timeoutMs: number;
}

/** The token with which the service asks Keystone about those of its callers. */
export class OwnToken {
  readonly #api: KeystoneApi;
  readonly #credentials: OwnCredentials;
  readonly #secret: WatchedFile<string>;
  readonly #closing = new AbortController();
  readonly #timeoutMs: number;
  #current: IssuedToken | undefined;
  #coming: Promise<string> | undefined;
  #refusal: { readonly error: OwnCredentialsRefusedError; readonly atMs: number } | undefined;

  /** @throws WatchedFileError */
  constructor(api: KeystoneApi, options: OwnTokenOptions, onBroken: (message: string) => void) {
    this.#api = api;
    this.#credentials = options.credentials;
    this.#timeoutMs = options.timeoutMs;
    this.#secret = new WatchedFile({
      path: options.secretFile,
      parse: secretOf,
      onChange: () => {
        this.#refusal = undefined;
      },
      onBroken,
    });
  }

  /** One that holds for a while. @throws OwnCredentialsRefusedError; Error, by rejection. */
  async token(): Promise<string> {
    const current = this.#current;
    return current !== undefined && Date.now() < current.expiresAtMs - marginMs
      ? current.token
      : this.#next();
  }

  /** Another one than `refused`, which Keystone does not know any more. @throws as `token`. */
  async another(refused: string): Promise<string> {
    if (this.#current?.token === refused) {
      this.#current = undefined;
    }
    return this.token();
  }

  close(): void {
    this.#closing.abort();
    this.#secret.close();
  }

  /** The same for all who ask at the same time. */
  #next(): Promise<string> {
    if (this.#refusal !== undefined && performance.now() - this.#refusal.atMs < pauseMs) {
      return Promise.reject(this.#refusal.error);
    }
    this.#coming ??= this.#issue().finally(() => {
      this.#coming = undefined;
    });
    return this.#coming;
  }

  async #issue(): Promise<string> {
    const secret = this.#secret.value;
    const { signal, end } = expiringSignal(this.#timeoutMs, this.#closing.signal);
    try {
      const issued = await this.#api.issue(authOf(this.#credentials, secret), signal);
      this.#current = issued;
      return issued.token;
    } catch (error) {
      if (error instanceof OwnCredentialsRefusedError && secret === this.#secret.value) {
        this.#refusal = { error, atMs: performance.now() };
      }
      throw error;
    } finally {
      end();
    }
  }
}

/** A file ends with a line break as a rule. @throws Error */
function secretOf(text: string): string {
  const secret = text.replace(/\r?\n$/, '');
  if (secret === '') {
    throw new Error('it is empty');
  }
  return secret;
}

function authOf(credentials: OwnCredentials, secret: string): object {
  if (credentials.kind === 'application credential') {
    const { id } = credentials;
    return {
      identity: { methods: ['application_credential'], application_credential: { id, secret } },
    };
  }
  const { user, userDomain, project, projectDomain } = credentials;
  return {
    identity: {
      methods: ['password'],
      password: { user: { name: user, domain: { name: userDomain }, password: secret } },
    },
    scope: { project: { name: project, domain: { name: projectDomain } } },
  };
}

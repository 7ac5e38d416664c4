import type { DarkroomError } from './client-error.ts';

/** Headers as fetch takes them. */
export type HeaderFields = ConstructorParameters<typeof Headers>[0];

/** What is asked of a function that gives the credential. */
export interface CredentialRequest {
  /** The token that the service has just refused as expired or invalid: another one is needed. */
  readonly refused?: string;
}

/**
 * A bearer token, or a function that gives one, or `undefined` for none. The function is asked for every call, so it keeps
 * the token itself while it is good.
 */
export type Credential =
  string | ((request: CredentialRequest) => string | undefined | Promise<string | undefined>);

/** Who the calls of a client are from. */
export class CallHeaders {
  readonly #credential: Credential | undefined;
  readonly #fixed: Readonly<Record<string, string>>;
  #refused: string | undefined;

  constructor(
    credential: Credential | undefined,
    project: string | undefined,
    headers: Readonly<Record<string, string>> = {},
  ) {
    this.#credential = credential;
    this.#fixed = project === undefined ? headers : { ...headers, 'x-darkroom-project': project };
  }

  /** Whether another token can be had than one that was refused. */
  get canRenew(): boolean {
    return typeof this.#credential === 'function';
  }

  /** The service took this token no more: another one is asked for with the next call. */
  refuse(token: string | undefined): void {
    this.#refused = token;
  }

  /** The headers of a call, and the token that is among them. @throws what the credential's function throws */
  async of(
    own: HeaderFields,
  ): Promise<{ readonly headers: Headers; readonly token: string | undefined }> {
    const headers = new Headers(own);
    for (const [name, value] of Object.entries(this.#fixed)) {
      headers.set(name, value);
    }
    const refused = this.#refused;
    this.#refused = undefined;
    const token =
      typeof this.#credential === 'function'
        ? await this.#credential(refused === undefined ? {} : { refused })
        : this.#credential;
    if (token !== undefined) {
      headers.set('authorization', `Bearer ${token}`);
    }
    return { headers, token };
  }
}

/** Whether an error says that the token of the call is no good, and another one may be. */
export function refusesToken(error: DarkroomError): boolean {
  return error.reason === 'CREDENTIAL_EXPIRED' || error.reason === 'CREDENTIAL_INVALID';
}

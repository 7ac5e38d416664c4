import { z } from 'zod';
import { ApiFailure } from './api-failure.ts';
import { open, readAnswer } from './http-exchange.ts';
import type { TokenSource } from './token-source.ts';

/** How one logs in to Keystone, as OpenStack's clients have it in their environment. */
export interface KeystoneLogin {
  /** With or without `/v3`. */
  readonly url: string;
  /** The `auth` of the Identity API v3. */
  readonly auth: object;
  readonly authorities: readonly string[] | undefined;
  readonly region: string | undefined;
  /** `public`, `internal` or `admin`. */
  readonly interface: string;
}

const answerShape = z.object({
  token: z.object({
    catalog: z
      .array(
        z.object({
          type: z.string(),
          endpoints: z.array(
            z.object({ interface: z.string(), region: z.string().nullish(), url: z.string() }),
          ),
        }),
      )
      .default([]),
  }),
});

/** A login, and what it has brought. */
export class KeystoneSession implements TokenSource {
  readonly #login: KeystoneLogin;
  #issued: Promise<{ token: string; imageUrls: readonly string[] }> | undefined;

  constructor(login: KeystoneLogin) {
    this.#login = login;
  }

  /** @throws ApiFailure; Error */
  async current(): Promise<string> {
    return (await this.#issue()).token;
  }

  renew(): void {
    this.#issued = undefined;
  }

  /** Where the catalog says that images are. @throws ApiFailure; Error */
  async imageEndpoint(): Promise<string> {
    const [url] = (await this.#issue()).imageUrls;
    if (url === undefined) {
      throw new Error(
        `Keystone's catalog has no endpoint of type image, interface ${this.#login.interface}` +
          `${this.#login.region === undefined ? '' : `, region ${this.#login.region}`}; give --from`,
      );
    }
    return url;
  }

  #issue(): Promise<{ token: string; imageUrls: readonly string[] }> {
    const issued = (this.#issued ??= this.#ask());
    // One that has failed is asked for again.
    issued.catch(() => (this.#issued = this.#issued === issued ? undefined : this.#issued));
    return issued;
  }

  async #ask() {
    const { url, auth, authorities, region, interface: side } = this.#login;
    const base = url.replace(/\/+$/, '').replace(/\/v3$/, '');
    const headers = { 'content-type': 'application/json' };
    const exchange = {
      method: 'POST',
      url: new URL(`${base}/v3/auth/tokens`),
      headers,
      authorities,
    };
    const {
      status,
      headers: answered,
      body,
    } = await readAnswer(await open(exchange, JSON.stringify({ auth })));
    const token = answered['x-subject-token'];
    if (status !== 201 || typeof token !== 'string') {
      throw new ApiFailure('Keystone', status, body);
    }
    const imageUrls = answerShape
      .parse(body)
      .token.catalog.filter(({ type }) => type === 'image')
      .flatMap(({ endpoints }) => endpoints)
      .filter((one) => one.interface === side && (region ?? one.region) === one.region)
      .map((one) => one.url);
    return { token, imageUrls };
  }
}

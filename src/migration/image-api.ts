import type { IncomingMessage } from 'node:http';
import { ApiFailure, type Side } from './api-failure.ts';
import { open, readAnswer, send, type Answer, type Exchange } from './http-exchange.ts';
import type { TokenSource } from './token-source.ts';

/** What a service is called by. */
export interface ImageApiOptions {
  readonly side: Side;
  /** Its endpoint, with or without `/v2`. */
  readonly url: string;
  readonly tokens: TokenSource;
  readonly authorities?: readonly string[] | undefined;
}

type Headers = Readonly<Record<string, string>>;

/** The Image API v2 of one service, as one caller. All its calls throw ApiFailure, or an Error with a code of the network. */
export class ImageApi {
  readonly #options: ImageApiOptions;
  readonly #headers: Headers;

  constructor(options: ImageApiOptions, headers: Headers = {}) {
    this.#options = { ...options, url: options.url.replace(/\/+$/, '').replace(/\/v2$/, '') };
    this.#headers = headers;
  }

  /** Where it is, for people. */
  get url(): string {
    return this.#options.url;
  }

  /** The same service, called for a project. @param project undefined for the caller's own. */
  actingFor(project: string | undefined): ImageApi {
    return project === undefined
      ? this
      : new ImageApi(this.#options, { ...this.#headers, 'x-darkroom-project': project });
  }

  /** Asks for JSON, or has something done. */
  async ask(method: string, path: string, json?: unknown, headers: Headers = {}): Promise<Answer> {
    const body = json === undefined ? undefined : JSON.stringify(json);
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    const answer = await readAnswer(await this.#open(method, path, { ...type, ...headers }, body));
    return this.#taken(answer);
  }

  /** Reads bytes: the answer's are still to come. */
  async read(path: string, headers: Headers): Promise<IncomingMessage> {
    const response = await this.#open('GET', path, headers);
    if (response.statusCode !== 200 && response.statusCode !== 206) {
      this.#taken(await readAnswer(response));
    }
    return response;
  }

  /** Sends bytes. A token that is not taken any more is renewed for the next time: these bytes cannot be sent twice. */
  async put(path: string, headers: Headers, body: AsyncIterable<Uint8Array>): Promise<Answer> {
    const type = { 'content-type': 'application/octet-stream' };
    const answer = await send(await this.#exchange('PUT', path, { ...type, ...headers }), body);
    if (answer.status === 401) {
      this.#options.tokens.renew();
    }
    return this.#taken(answer);
  }

  async #open(
    method: string,
    path: string,
    headers: Headers,
    body?: string,
  ): Promise<IncomingMessage> {
    const response = await open(await this.#exchange(method, path, headers), body);
    if (response.statusCode !== 401) {
      return response;
    }
    response.resume();
    this.#options.tokens.renew();
    return open(await this.#exchange(method, path, headers), body);
  }

  async #exchange(method: string, path: string, headers: Headers): Promise<Exchange> {
    const { url, tokens, authorities } = this.#options;
    const token = await tokens.current();
    return {
      method,
      url: new URL(url + path),
      authorities,
      headers: {
        ...this.#headers,
        ...(token !== undefined && { 'x-auth-token': token }),
        ...headers,
      },
    };
  }

  #taken(answer: Answer): Answer {
    if (answer.status >= 300) {
      throw new ApiFailure(this.#options.side, answer.status, answer.body);
    }
    return answer;
  }
}

import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** What becomes of the bytes of an image on their way from Glance. */
export type Mischief =
  /** The connection breaks after so many of them. */
  | { readonly kind: 'cut'; readonly after: number }
  /** One of them is another. */
  | { readonly kind: 'alter'; readonly at: number }
  /** They end well after so many, though more were announced by nobody. */
  | { readonly kind: 'end'; readonly after: number }
  /** None comes after so many. */
  | { readonly kind: 'hold'; readonly after: number };

/** A network to Glance that does mischief to downloads, each once. */
export class GlanceProxy {
  readonly url: string;
  /** The ranges that downloads asked for, in order. */
  readonly ranges: (string | undefined)[] = [];
  readonly #target: URL;
  readonly #mischief: Mischief[];

  private constructor(url: string, target: string, mischief: readonly Mischief[]) {
    this.url = url;
    this.#target = new URL(target);
    this.#mischief = [...mischief];
  }

  /** Opens one until the test is finished. @param mischief to the first downloads, in order. */
  static async open(target: string, ...mischief: readonly Mischief[]): Promise<GlanceProxy> {
    const server = createServer((incoming, answer) => proxy.#passOn(incoming, answer));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const proxy = new GlanceProxy(`http://127.0.0.1:${port}`, target, mischief);
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return proxy;
  }

  #passOn(incoming: IncomingMessage, answer: ServerResponse): void {
    const isDownload = incoming.url?.endsWith('/file') === true;
    const mischief = isDownload ? this.#mischief.shift() : undefined;
    if (isDownload) {
      this.ranges.push(incoming.headers.range);
    }
    const { hostname, port } = this.#target;
    const { method, url, headers } = incoming;
    const outgoing = request({ hostname, port, method, path: url, headers }, (response) => {
      if (mischief?.kind === 'end') {
        delete response.headers['content-length'];
      }
      answer.writeHead(response.statusCode ?? 502, response.headers);
      if (mischief === undefined) {
        response.pipe(answer);
      } else {
        void spoil(mischief, response, answer);
      }
    });
    outgoing.on('error', () => answer.destroy());
    answer.on('close', () => outgoing.destroy());
    incoming.pipe(outgoing);
  }
}

async function spoil(
  mischief: Mischief,
  response: IncomingMessage,
  answer: ServerResponse,
): Promise<void> {
  let sent = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      const begin = sent;
      sent += chunk.length;
      if (mischief.kind === 'alter') {
        const at = mischief.at - begin;
        if (at >= 0 && at < chunk.length) {
          chunk[at] = chunk[at]! ^ 1;
        }
      } else if (sent >= mischief.after) {
        answer.write(chunk.subarray(0, mischief.after - begin), () => {
          if (mischief.kind === 'cut') {
            answer.destroy();
          } else if (mischief.kind === 'end') {
            answer.end();
          }
        });
        return;
      }
      if (!answer.write(chunk)) {
        await once(answer, 'drain');
      }
    }
    answer.end();
  } catch {
    answer.destroy();
  }
}

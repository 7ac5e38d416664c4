import { Worker } from 'node:worker_threads';
import { Code, ConnectError } from '@connectrpc/connect';
import { Permits } from '../../domain/permits.ts';

/** A thread that nobody has needed for so long ends, in ms: it takes some 10 MiB. */
const restMs = 10_000;

/** Of so many messages of one client at a time the thread is given the bytes; the rest of its bodies is not read meanwhile. */
const perClient = 4;

/** Smaller pieces are cheaper to copy, in bytes. */
const movedBytes = 16 * 1024;

/** A message in JSON that the thread is to read. */
export interface JsonRequest {
  readonly id: number;
  /** Of the message. */
  readonly typeName: string;
  /** In pieces, as they came. */
  readonly json: readonly Uint8Array[];
}

/** The same message as protobuf, or what is wrong with it, in connect's words. */
export type JsonAnswer = { readonly id: number } & (
  { readonly message: Uint8Array<ArrayBuffer> } | { readonly wrong: string }
);

/**
 * Reads large messages that come as JSON on another thread: of a chunk of 4 MiB, which is base64 there, that holds a thread for 50 to
 * 150 ms, in which the event loop serves hundreds of others.
 */
export class JsonThread {
  readonly #clients = new Map<string, { readonly permits: Permits; users: number }>();
  readonly #waiting = new Map<number, PromiseWithResolvers<Uint8Array<ArrayBuffer>>>();
  #worker: Worker | undefined;
  #nextId = 1;
  #timer: NodeJS.Timeout | undefined;

  /** Does the work, of which `read` is a part, when the client has not too many others. @throws what `work` throws. */
  async inTurn<T>(client: string, work: () => Promise<T>): Promise<T> {
    const known = this.#clients.get(client) ?? { permits: new Permits(perClient), users: 0 };
    this.#clients.set(client, known);
    known.users += 1;
    try {
      return await known.permits.run(work);
    } finally {
      known.users -= 1;
      if (known.users === 0) {
        this.#clients.delete(client);
      }
    }
  }

  /**
   * The message as protobuf.
   *
   * @param json in pieces, of which those that are alone in their memory are moved, and are empty then.
   * @throws ConnectError as connect throws for JSON that is no such message; Error where the thread has died.
   */
  async read(typeName: string, json: readonly Uint8Array[]): Promise<Uint8Array<ArrayBuffer>> {
    clearTimeout(this.#timer);
    const worker = (this.#worker ??= this.#start());
    const id = this.#nextId++;
    const answer = Promise.withResolvers<Uint8Array<ArrayBuffer>>();
    this.#waiting.set(id, answer);
    worker.postMessage({ id, typeName, json } satisfies JsonRequest, movable(json));
    return answer.promise;
  }

  #start(): Worker {
    const worker = new Worker(new URL('./json-worker.ts', import.meta.url));
    worker.unref();
    worker.on('message', (answer: JsonAnswer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if ('message' in answer) {
        waiting?.resolve(answer.message);
      } else {
        waiting?.reject(new ConnectError(answer.wrong, Code.InvalidArgument));
      }
      if (this.#waiting.size === 0) {
        this.#timer = setTimeout(() => this.#end(worker), restMs).unref();
      }
    });
    const fail = (error: unknown): void => this.#fail(worker, error);
    worker.on('messageerror', fail);
    worker.on('error', fail);
    worker.on('exit', () => fail(new Error('the thread that reads JSON has ended')));
    return worker;
  }

  #end(worker: Worker): void {
    this.#worker = undefined;
    void worker.terminate();
  }

  #fail(worker: Worker, error: unknown): void {
    if (this.#worker !== worker) {
      return;
    }
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) {
      reject(error);
    }
    this.#waiting.clear();
  }
}

function movable(pieces: readonly Uint8Array[]): ArrayBuffer[] {
  const alone = pieces.filter(
    ({ buffer, byteLength }) => byteLength === buffer.byteLength && byteLength >= movedBytes,
  );
  return [...new Set(alone.map(({ buffer }) => buffer))].filter(
    (one) => one instanceof ArrayBuffer,
  );
}

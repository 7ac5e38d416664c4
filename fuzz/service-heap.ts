import { once } from 'node:events';

/** What a process of Node still needs, in bytes. */
export interface NeededMemory {
  /** Objects. */
  readonly heap: number;
  /** Buffers and the like, beside the heap. */
  readonly external: number;
}

/** How long the process may take to collect its garbage and to tell, in ms. */
const patienceMs = 60_000;

/**
 * What a service needs of its memory, as told by Node's inspector after all garbage was collected. What is resident says less:
 * V8 collects when it likes, and allocators keep what was given back.
 */
export class ServiceHeap {
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (message: string) => void>();
  #lastId = 0;

  /** @param port of the inspector: `NODE_OPTIONS=--inspect=127.0.0.1:<port>`. */
  static async open(port: number): Promise<ServiceHeap> {
    const answer = await fetch(`http://127.0.0.1:${port}/json/list`);
    const [target] = (await answer.json()) as { webSocketDebuggerUrl: string }[];
    const socket = new WebSocket(target?.webSocketDebuggerUrl ?? '');
    await once(socket, 'open', { signal: AbortSignal.timeout(patienceMs) });
    return new ServiceHeap(socket);
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const text = String(data);
      const { id } = JSON.parse(text) as { id?: number };
      this.#waiting.get(id ?? 0)?.(text);
    });
  }

  /** Collects the garbage, and tells what is left. @throws Error if the process does not answer. */
  async needed(): Promise<NeededMemory> {
    await this.#ask('HeapProfiler.collectGarbage', {});
    const text = await this.#ask('Runtime.evaluate', {
      expression: 'process.memoryUsage()',
      returnByValue: true,
    });
    const { result } = JSON.parse(text) as {
      result: { result: { value: { heapUsed: number; external: number } } };
    };
    const { heapUsed, external } = result.result.value;
    return { heap: heapUsed, external };
  }

  close(): void {
    this.#socket.close();
  }

  async #ask(method: string, params: object): Promise<string> {
    const id = (this.#lastId += 1);
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const timer = setTimeout(
      () => reject(new Error(`the inspector did not answer ${method}`)),
      patienceMs,
    );
    this.#waiting.set(id, resolve);
    this.#socket.send(JSON.stringify({ id, method, params }));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }
}

import { fork, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { RestartDelay } from '../domain/restart-delay.ts';
import type { PortAddress } from '../runtime/port.ts';
import type { TlsSource } from '../tls/tls-material.ts';
import type { ConnectionQueue } from './connection-queue.ts';
import { tlsAtStart } from './handed-tls.ts';
import type { GroupMessage, MemberMessage } from './process-messages.ts';

const program = fileURLToPath(new URL('../main.mjs', import.meta.url));
/** With which `program` is one of several. */
const memberArguments = ['--member'];

/** How a process has ended. */
export interface MemberEnd {
  /** For people. */
  readonly how: string;
  /** What it said of itself, if it could not start. */
  readonly failure: Extract<MemberMessage, { kind: 'failed' }> | undefined;
}

/** What a member has from its group. */
export interface MemberOptions {
  readonly port: PortAddress;
  readonly connections: ConnectionQueue;
  /** Where the embedded PostgreSQL is; undefined where there is none. */
  readonly database: Promise<string> | undefined;
  /** What it speaks TLS with; undefined where it does not. */
  readonly tls: TlsSource | undefined;
  /** Told of every end but that of a stop, before it is started again after `delayMs`. */
  readonly onEnd: (end: MemberEnd, delayMs: number) => void;
  /** Told when it serves, each time. */
  readonly onReady: (pid: number | undefined) => void;
}

/** One of the processes that serve, started again whenever it ends, until it is stopped. */
export class Member {
  readonly #options: MemberOptions;
  readonly #stopping = new AbortController();
  readonly #delay = new RestartDelay();
  readonly #running: Promise<void>;
  #process: ChildProcess | undefined;

  constructor(options: MemberOptions) {
    this.#options = options;
    options.tls?.onChange((material) => {
      if (this.#process) {
        tell(this.#process, { kind: 'tls', material });
      }
    });
    this.#running = this.#run();
  }

  /** The present process; undefined between two. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Has it stop in good order, and starts it no more. Resolves when it has ended. */
  stop(): Promise<void> {
    this.#stopping.abort();
    if (this.#process) {
      tell(this.#process, { kind: 'stop' });
    }
    return this.#running;
  }

  /** Cuts it off. */
  kill(): void {
    this.#stopping.abort();
    this.#process?.kill('SIGKILL');
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const begun = performance.now();
      const end = await this.#runOnce();
      if (!signal.aborted) {
        const delayMs = this.#delay.next(performance.now() - begun);
        this.#options.onEnd(end, delayMs);
        await sleep(delayMs, undefined, { signal }).catch(() => {});
      }
    }
  }

  async #runOnce(): Promise<MemberEnd> {
    const { port, connections, database, tls, onReady } = this.#options;
    const child = fork(program, memberArguments);
    this.#process = child;
    // Kept open here until it has come: a process that dies meanwhile would else leave it open, and its client waiting.
    let underWay: Socket | undefined;
    const taker = {
      take(socket: Socket): void {
        underWay = socket;
        tell(child, { kind: 'connection' }, socket);
      },
    };
    let failure: MemberEnd['failure'];
    child.on('message', (message: MemberMessage) => {
      switch (message.kind) {
        case 'listening':
        case 'taken':
          underWay?.destroy();
          underWay = undefined;
          connections.free(taker);
          break;
        case 'ready':
          onReady(child.pid);
          break;
        case 'failed':
          failure = message;
      }
    });
    const { address, port: number } = port;
    tell(child, { kind: 'start', address, port: number, ...(tls && { tls: tlsAtStart(tls) }) });
    database?.then(
      (url) => tell(child, { kind: 'database', url }),
      () => {},
    );
    const { promise, resolve } = Promise.withResolvers<string>();
    child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`));
    // It could not even be made. An error of a message that it does not get any more is followed by its exit.
    child.on('error', (error) => child.pid === undefined && resolve(error.message));
    const how = await promise;
    connections.leave(taker);
    underWay?.destroy();
    this.#process = undefined;
    return { how, failure };
  }
}

function tell(child: ChildProcess, message: GroupMessage, socket?: Socket): void {
  if (child.connected) {
    child.send(message, socket, { keepOpen: true }, () => {});
  }
}

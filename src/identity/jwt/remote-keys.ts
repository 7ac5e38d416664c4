import { setTimeout as delay } from 'node:timers/promises';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { boundedFetch, reasonOf } from '../bounded-fetch.ts';
import { parseKeySet, type Keys, type KeySource } from './key-source.ts';

/** The issuer is not asked more often, whatever tokens callers make up, in ms. */
const usualIntervalMs = 2000;
/** So often it is asked by all means, for keys that it has withdrawn, in ms. */
const usualRefreshMs = 5 * 60 * 1000;
/** So long it may take to answer, in ms. */
const timeoutMs = 5000;
/** Larger answers are no key sets, in bytes. */
const maxBytes = 1024 * 1024;
/** As many callers wait for the next answer. */
const maxWaiting = 1000;

/** What is told of an issuer. */
export interface RemoteKeysOptions {
  readonly url: string;
  /** The least time between two questions, in ms; 2 s if not set. */
  readonly minIntervalMs?: number;
  /** How often it is asked though nobody needs it, in ms; 5 min if not set. */
  readonly refreshMs?: number;
  /** Called when there are other keys than before. */
  readonly onChange: () => void;
  /** Told, once, when the issuer cannot be asked any more. */
  readonly onWarning: (message: string) => void;
}

/**
 * The keys of an issuer, fetched from it. While it is away, those that are known go on: that it does not answer says nothing about
 * them. A key that is not known, then, may be a new one, so that nothing can be said of a token that it signs.
 */
export class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions;
  readonly #minIntervalMs: number;
  readonly #timer: NodeJS.Timeout;
  readonly #closing = new AbortController();
  #known: { readonly keys: Keys; readonly text: string } | undefined;
  /** What has not begun yet, and what is under way. */
  #next: Promise<Keys> | undefined;
  #running: Promise<Keys> | undefined;
  #waiting = 0;
  #begunAtMs = Number.NEGATIVE_INFINITY;
  #isAway = false;

  constructor(options: RemoteKeysOptions) {
    this.#options = options;
    this.#minIntervalMs = options.minIntervalMs ?? usualIntervalMs;
    // So that the first caller need not wait; what goes wrong is told by `onWarning`, and to callers.
    this.#refresh();
    const refresh = (): void => this.#refresh();
    this.#timer = setInterval(refresh, options.refreshMs ?? usualRefreshMs).unref();
  }

  knownKeys(): Keys | Promise<Keys> {
    return this.#known?.keys ?? this.#running ?? this.fetchKeys();
  }

  /** What is fetched for one is for all who ask until the fetch begins. */
  async fetchKeys(): Promise<Keys> {
    if (this.#waiting >= maxWaiting) {
      throw this.#unavailable('too many wait for the keys of the identity provider');
    }
    this.#waiting += 1;
    try {
      return await this.#fetchNext();
    } finally {
      this.#waiting -= 1;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#closing.abort();
  }

  #refresh(): void {
    this.#fetchNext().catch(() => {});
  }

  #fetchNext(): Promise<Keys> {
    return (this.#next ??= this.#fetchLater());
  }

  async #fetchLater(): Promise<Keys> {
    const { signal } = this.#closing;
    const wait = this.#begunAtMs + this.#minIntervalMs - performance.now();
    try {
      await delay(Math.max(0, wait), undefined, { signal, ref: false });
    } finally {
      // Who asks from here on may have a token of a key that is newer than the answer.
      this.#next = undefined;
    }
    this.#begunAtMs = performance.now();
    const running = this.#fetch(signal);
    this.#running = running;
    try {
      return await running;
    } finally {
      if (this.#running === running) {
        this.#running = undefined;
      }
    }
  }

  async #fetch(signal: AbortSignal): Promise<Keys> {
    try {
      const keys = this.#take(await fetchText(this.#options.url, signal));
      this.#isAway = false;
      return keys;
    } catch (error) {
      if (!signal.aborted && !this.#isAway) {
        this.#isAway = true;
        this.#options.onWarning(
          `the keys of the identity provider cannot be had from ${this.#options.url}: ${reasonOf(error)}; ` +
            (this.#known ? 'those that are known go on' : 'no token can be checked'),
        );
      }
      throw this.#unavailable('the identity provider cannot be asked for its keys just now', error);
    }
  }

  #take(text: string): Keys {
    if (this.#known !== undefined && text === this.#known.text) {
      return this.#known.keys;
    }
    const isFirst = this.#known === undefined;
    const keys = parseKeySet(text);
    this.#known = { keys, text };
    if (!isFirst) {
      this.#options.onChange();
    }
    return keys;
  }

  #unavailable(why: string, cause?: unknown): DarkroomError {
    return new DarkroomError(
      'IDENTITY_UNAVAILABLE',
      `${why}, so the token cannot be checked; try again`,
      { retryDelayMs: this.#minIntervalMs, cause },
    );
  }
}

async function fetchText(url: string, closing: AbortSignal): Promise<string> {
  const { status, text } = await boundedFetch(url, {
    headers: { accept: 'application/jwk-set+json, application/json' },
    signal: AbortSignal.any([closing, AbortSignal.timeout(timeoutMs)]),
    maxBytes,
  });
  if (status !== 200) {
    throw new Error(`it answers with status ${status}`);
  }
  return text;
}

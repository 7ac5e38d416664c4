import type { Client } from '@connectrpc/connect';
import type { ImageService } from '../../../gen/darkroom/v1/image_service_pb.ts';
import type { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { refusesToken } from './credentials.ts';
import type { DarkroomError } from './client-error.ts';
import { Tries, type Pauses, type RetryPolicy } from './retry-policy.ts';

/** What uploads, downloads and watches call the service with. */
export interface ClientCalls {
  readonly images: Client<typeof ImageService>;
  readonly tasks: Client<typeof TaskService>;
  readonly policy: RetryPolicy;
  readonly pauses: Pauses;
  /** Whether another token can be had than one that was refused. */
  readonly canRenew: boolean;
}

/** How it stands with the connection of something that is tried again. */
export type ConnectionState =
  | { readonly state: 'connected' }
  | {
      /** It failed, and is tried again. */
      readonly state: 'waiting';
      readonly error: DarkroomError;
      /** How many tries have failed since it last got any further. */
      readonly tries: number;
      /** When the next try begins, in ms since 1970. */
      readonly untilMs: number;
    };

/** Settings of one thing that survives broken connections. */
export interface SurvivalOptions {
  readonly signal?: AbortSignal | undefined;
  /** Goes before the client's policy. */
  readonly retry?: Partial<RetryPolicy> | undefined;
}

/** The options of a call that ends with a signal, if there is one. */
export function endingWith(signal: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** Tries one thing again until it succeeds, or has not got any further for too long. */
export class Survival {
  readonly #calls: ClientCalls;
  readonly #signal: AbortSignal | undefined;
  readonly #tries: Tries;
  /** When nothing moves for so long that should, a connection is taken for dead, in ms. */
  readonly deadAfterMs: number;
  #tokensRefused = 0;

  constructor(calls: ClientCalls, { signal, retry }: SurvivalOptions) {
    this.#calls = calls;
    this.#signal = signal;
    const policy = { ...calls.policy, ...retry };
    this.#tries = new Tries(policy, policy.giveUpWithoutProgressMs);
    this.deadAfterMs = policy.deadAfterMs;
  }

  /** How many tries have failed since it last got any further. */
  get failed(): number {
    return this.#tries.failed;
  }

  /** It got any further. */
  progressed(): void {
    this.#tries.progressed();
    this.#tokensRefused = 0;
  }

  /** Whether an error passes by itself, or with another token. */
  passes(error: DarkroomError): boolean {
    return (
      error.isTransient || (refusesToken(error) && this.#calls.canRenew && this.#tokensRefused < 2)
    );
  }

  /**
   * Waits until it is time for the next try.
   *
   * @param onWait told before the wait
   * @throws the error, when it is time to give up; the signal's reason
   */
  async wait(
    error: DarkroomError,
    onWait: (waiting: Extract<ConnectionState, { state: 'waiting' }>) => void = () => undefined,
  ): Promise<void> {
    if (refusesToken(error)) {
      this.#tokensRefused += 1;
    }
    const delay = this.#tries.failedBy(error);
    if (delay === undefined) {
      throw error;
    }
    onWait({ state: 'waiting', error, tries: this.#tries.failed, untilMs: Date.now() + delay });
    await this.#calls.pauses.wait(delay, this.#signal);
  }
}

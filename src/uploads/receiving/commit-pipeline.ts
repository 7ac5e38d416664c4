/** When a pipeline commits. */
export interface CommitPolicy {
  /** Commit when so many bytes are waiting. */
  readonly bytes: number;
  /** Commit at least so often while bytes are waiting, in ms. */
  readonly intervalMs: number;
}

/** So many times the policy's bytes may wait for a slow disk; then the writer waits for the commit. */
const backlogFactor = 4;

/**
 * Commits what a writer has appended: one commit at a time, beside the appending, each for all that
 * came since the last. So a stream does not stall on the disk's or the database's latency, and many
 * small chunks share one commit.
 */
export class CommitPipeline {
  readonly #policy: CommitPolicy;
  readonly #commit: () => Promise<number>;
  readonly #onFailure: (error: Error) => void;
  #appended: number;
  #committed: number;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failure: Error | undefined;
  #isStopped = false;

  /**
   * @param position bytes that are committed already.
   * @param commit commits all that was appended, and answers up to where.
   * @param onFailure told once when a commit fails; the pipeline does nothing from then on, since what
   *   a disk has failed to make durable once it may claim to be durable the next time.
   */
  constructor(
    policy: CommitPolicy,
    position: number,
    commit: () => Promise<number>,
    onFailure: (error: Error) => void,
  ) {
    this.#policy = policy;
    this.#appended = position;
    this.#committed = position;
    this.#commit = commit;
    this.#onFailure = onFailure;
  }

  /** Bytes up to which all is durable and recorded. */
  get committed(): number {
    return this.#committed;
  }

  /** Says that all up to `position` was appended. Resolves once the backlog is not too large. Never rejects. */
  async appended(position: number): Promise<void> {
    this.#appended = position;
    this.#schedule();
    while (this.#waiting >= this.#policy.bytes * backlogFactor && this.#running) {
      await this.#running;
    }
  }

  /** Commits all that was appended. @throws what a commit threw, now or before. */
  async flush(): Promise<void> {
    while (!this.#failure && (this.#running || this.#waiting > 0)) {
      this.#start();
      await this.#running;
    }
    if (this.#failure) {
      throw this.#failure;
    }
  }

  /**
   * Makes all that was appended durable without committing it, and commits nothing more of its own accord: whoever
   * ends the upload records it with the end.
   *
   * @param persist makes all that was appended durable.
   * @throws what a commit threw before; what `persist` throws.
   */
  async seal(persist: () => Promise<void>): Promise<void> {
    this.stop();
    while (this.#running) {
      await this.#running;
    }
    if (!this.#failure && this.#waiting > 0) {
      await persist().catch((error: unknown) => this.#fail(error));
    }
    if (this.#failure) {
      throw this.#failure;
    }
  }

  /** Commits nothing more of its own accord. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  get #waiting(): number {
    return this.#appended - this.#committed;
  }

  #schedule(): void {
    if (this.#running || this.#failure || this.#isStopped || this.#waiting === 0) {
      return;
    }
    if (this.#waiting >= this.#policy.bytes) {
      this.#start();
    } else {
      this.#timer ??= setTimeout(() => this.#start(), this.#policy.intervalMs);
    }
  }

  #start(): void {
    if (!this.#running && !this.#failure) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#running = this.#run();
    }
  }

  #fail(error: unknown): void {
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#onFailure(this.#failure);
  }

  async #run(): Promise<void> {
    try {
      this.#committed = await this.#commit();
    } catch (error) {
      this.#fail(error);
    }
    this.#running = undefined;
    this.#schedule();
  }
}

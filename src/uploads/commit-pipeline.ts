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
  readonly #onFailure: (error: unknown) => void;
  #appended: number;
  #committed: number;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param position bytes that are committed already.
   * @param commit commits all that was appended, and answers up to where.
   * @param onFailure told once when a commit fails; the pipeline does nothing from then on.
   */
  constructor(
    policy: CommitPolicy,
    position: number,
    commit: () => Promise<number>,
    onFailure: (error: unknown) => void,
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

  /** Says that all up to `position` was appended. Waits while the backlog is too large. */
  async appended(position: number): Promise<void> {
    this.#appended = position;
    const waiting = position - this.#committed;
    if (waiting >= this.#policy.bytes) {
      this.#start();
      if (waiting >= this.#policy.bytes * backlogFactor) {
        await this.#running;
      }
    } else {
      this.#timer ??= setTimeout(() => this.#start(), this.#policy.intervalMs);
    }
  }

  /** Commits all that was appended. @throws what the commit threw. */
  async flush(): Promise<void> {
    while (this.#committed < this.#appended && !this.#failure) {
      this.#start();
      await this.#running;
    }
    this.stop();
    if (this.#failure) {
      throw this.#failure.error;
    }
  }

  /** Commits nothing more of its own accord. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #start(): void {
    if (this.#running || this.#failure) {
      return;
    }
    this.stop();
    this.#running = this.#commit()
      .then((position) => {
        this.#committed = position;
      })
      .catch((error: unknown) => {
        this.#failure = { error };
        this.#onFailure(error);
      })
      .finally(() => {
        this.#running = undefined;
        if (this.#committed < this.#appended && !this.#failure) {
          this.#timer ??= setTimeout(() => this.#start(), this.#policy.intervalMs);
        }
      });
  }
}

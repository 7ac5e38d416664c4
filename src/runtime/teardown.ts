/** Where it is told that something could not be stopped; pino fits. */
export interface TeardownLogger {
  error(fields: object, message: string): void;
}

/** What was started, to be stopped in the opposite order. */
export class Teardown {
  readonly #steps: { readonly name: string; readonly stop: () => Promise<unknown> | void }[] = [];
  readonly #logger: TeardownLogger;

  constructor(logger: TeardownLogger) {
    this.#logger = logger;
  }

  /** Has `stop` called by `run`, before all that was added earlier. */
  add(name: string, stop: () => Promise<unknown> | void): void {
    this.#steps.push({ name, stop });
  }

  /** Stops everything; what fails to stop does not keep the rest from it. Never rejects. */
  async run(): Promise<void> {
    for (const { name, stop } of this.#steps.splice(0).toReversed()) {
      try {
        await stop();
      } catch (error) {
        this.#logger.error({ err: error }, `${name} could not be stopped cleanly`);
      }
    }
  }
}

/** What is to be undone when a test file is over, in the opposite order. */
export class CleanUps {
  readonly #steps: (() => Promise<unknown>)[] = [];

  /** Adds a step; can be passed on as it is. */
  readonly defer = (step: () => Promise<unknown>): void => void this.#steps.push(step);

  /** Runs all steps, whatever one of them throws; `beforeAll` takes it as its answer. */
  readonly run = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (const step of this.#steps.splice(0).toReversed()) {
      await step().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) {
      throw new AggregateError(failures, 'not everything could be undone');
    }
  };
}

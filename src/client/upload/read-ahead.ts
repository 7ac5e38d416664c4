/**
 * Has an iteration run ahead of who reads it, by so many items. It is ended when the reader stops; what it was waiting
 * for must end by a signal of its own.
 */
export async function* readAhead<T>(
  items: AsyncIterable<T>,
  count: number,
): AsyncGenerator<T, void, undefined> {
  const iterator = items[Symbol.asyncIterator]();
  const read: T[] = [];
  const state = { hasEnded: false, isStopped: false };
  let failure: { readonly error: unknown } | undefined;
  let wakeReader = (): void => undefined;
  let wakeSource = (): void => undefined;

  async function run(): Promise<void> {
    try {
      while (!state.isStopped) {
        const next = await iterator.next();
        if (next.done === true) {
          break;
        }
        read.push(next.value);
        wakeReader();
        if (read.length >= count) {
          await new Promise<void>((resolve) => (wakeSource = resolve));
        }
      }
    } catch (error) {
      failure = { error };
    }
    state.hasEnded = true;
    wakeReader();
  }

  void run();
  try {
    for (;;) {
      const item = read.shift();
      if (item !== undefined) {
        wakeSource();
        yield item;
      } else if (failure !== undefined) {
        throw failure.error;
      } else if (state.hasEnded) {
        return;
      } else {
        await new Promise<void>((resolve) => (wakeReader = resolve));
      }
    }
  } finally {
    state.isStopped = true;
    wakeSource();
    // It may be waiting for something that only its signal ends.
    void iterator.return?.().catch(() => undefined);
  }
}

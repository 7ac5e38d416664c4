/** Waits, or until something in the window makes it worth to try again: the network is back, or the reader is. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      window.removeEventListener('online', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    window.addEventListener('online', done);
    signal.addEventListener('abort', done);
    if (signal.aborted) {
      done();
    }
  });
}

/** How long to wait before the next try, in ms: longer each time, up to 10 s, and never all at once (full jitter). */
export function backoffMs(tries: number): number {
  return 250 + Math.random() * Math.min(10_000, 500 * 2 ** Math.min(tries, 10));
}

/**
 * Does something for as long as somebody looks: it is aborted while the page is hidden, and begun again when it is shown. Of
 * HTTP/1.1 a browser opens six connections to a service; tabs that nobody looks at must not hold them.
 *
 * @returns what ends it for good.
 */
export function whileVisible(act: (signal: AbortSignal) => Promise<void>): () => void {
  let running: AbortController | undefined;
  const turn = (): void => {
    if (document.visibilityState === 'hidden') {
      running?.abort();
      running = undefined;
    } else if (running === undefined) {
      running = new AbortController();
      void act(running.signal);
    }
  };
  document.addEventListener('visibilitychange', turn);
  turn();
  return () => {
    document.removeEventListener('visibilitychange', turn);
    running?.abort();
  };
}

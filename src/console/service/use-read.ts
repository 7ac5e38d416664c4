import { useEffect, useRef, useState } from 'preact/hooks';
import { failureOf, type Failure } from './failure.ts';
import { backoffMs, pause, whileVisible } from './pauses.ts';

/** What is read from the service: what there is of it, and what went wrong. */
export interface Read<T> {
  /** What came last, while something else is read, too; undefined before anything came. */
  readonly value: T | undefined;
  readonly failure: Failure | undefined;
  readonly isReading: boolean;
  /** Reads it again. */
  readonly again: () => void;
  /** Has something stand in its place until it is read again, such as the answer to a change. */
  readonly put: (value: T) => void;
}

/**
 * Reads something, and again whenever `key` changes or the page is shown again. Where the service does not answer, it is
 * tried until it does.
 *
 * @param key of what is read; another one forgets what was there, unless `keeps` says otherwise.
 */
export function useRead<T>(
  key: string,
  read: (signal: AbortSignal) => Promise<T>,
  keeps = false,
): Read<T> {
  const [state, setState] = useState<{
    readonly key: string;
    readonly value?: T | undefined;
    readonly failure?: Failure | undefined;
    readonly isReading: boolean;
  }>({ key, isReading: true });
  const [turn, setTurn] = useState(0);
  const latest = useRef(read);
  latest.current = read;

  useEffect(
    () =>
      whileVisible(async (signal) => {
        setState((before) => ({
          key,
          value: keeps || before.key === key ? before.value : undefined,
          failure: before.key === key ? before.failure : undefined,
          isReading: true,
        }));
        for (let tries = 0; !signal.aborted; tries += 1) {
          try {
            const value = await latest.current(signal);
            if (!signal.aborted) {
              setState({ key, value, isReading: false });
            }
            return;
          } catch (error) {
            if (signal.aborted) {
              return;
            }
            const failure = failureOf(error);
            setState((before) => ({ ...before, key, failure, isReading: false }));
            if (failure.kind !== 'unreached' && failure.kind !== 'passing') {
              return;
            }
          }
          await pause(backoffMs(tries), signal);
        }
      }),
    [key, turn],
  );

  const isOfKey = state.key === key;
  return {
    value: isOfKey || keeps ? state.value : undefined,
    failure: isOfKey ? state.failure : undefined,
    isReading: isOfKey ? state.isReading : true,
    again: () => setTurn((before) => before + 1),
    put: (value) => setState({ key, value, isReading: false }),
  };
}

import { onSharedAbort } from '../../domain/shared-signal.ts';

/** A signal that fires after a time, or with one that many share. @returns `end` is to be called when nobody needs it any more. */
export function expiringSignal(
  ms: number,
  shared: AbortSignal,
): { readonly signal: AbortSignal; readonly end: () => void } {
  const expiring = new AbortController();
  const late = (): void => expiring.abort(new Error(`it did not answer within ${ms} ms`));
  const timer = setTimeout(late, ms);
  const unfollow = onSharedAbort(shared, () => expiring.abort(shared.reason));
  return {
    signal: expiring.signal,
    end: () => {
      clearTimeout(timer);
      unfollow();
    },
  };
}

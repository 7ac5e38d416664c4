import type { Signal } from '@preact/signals';
import type { WatchOptions } from '../../client/browser.ts';
import { failureOf, type Failure } from './failure.ts';
import { isReached, learnFrom } from './service.ts';

/**
 * How a page watches: for as long as somebody looks, however long the service is away.
 *
 * @param failure is told why nothing is told just now.
 */
export function watchOptions(
  signal: AbortSignal,
  failure: Signal<Failure | undefined>,
): WatchOptions {
  return {
    signal,
    retry: { longestDelayMs: 10_000, giveUpAfterMs: Infinity, giveUpWithoutProgressMs: Infinity },
    onConnection(connection) {
      if (connection.state === 'connected') {
        isReached.value = true;
        failure.value = undefined;
      } else {
        learnFrom(connection.error);
        failure.value = failureOf(connection.error);
      }
    },
  };
}

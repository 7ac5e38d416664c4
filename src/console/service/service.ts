import type { Interceptor } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { signal } from '@preact/signals';
import { createDarkroomClient } from '../../client/browser.ts';
import { failureOf } from './failure.ts';
import { refusedRole, signInAsked, token } from './session.ts';

/** Whether the service answered when it was last asked. */
export const isReached = signal(true);

/** Learns from each answer whether the service is there. */
const standing: Interceptor = (next) => async (request) => {
  try {
    const response = await next(request);
    isReached.value = true;
    return response;
  } catch (error) {
    if (!request.signal.aborted) {
      learnFrom(error);
    }
    throw error;
  }
};

/** Takes note of a failure that says something of the service or of the reader, wherever it came from. */
export function learnFrom(error: unknown): void {
  const failure = failureOf(error);
  isReached.value = failure.kind !== 'unreached';
  if (failure.kind === 'unknown') {
    signInAsked.value = failure.message;
  } else if (failure.reason === 'ROLE_INSUFFICIENT') {
    refusedRole.value = failure.metadata['role'];
  }
}

/** What calls the service. */
export const client = createDarkroomClient({
  transport: createConnectTransport({
    baseUrl: window.location.origin,
    useBinaryFormat: true,
    useHttpGet: true,
    interceptors: [standing],
  }),
  credential: () => token(),
  // Somebody looks: what does not answer soon is told, and tried again by the page.
  retry: { giveUpAfterMs: 3000 },
});

export const { images, tasks, quotas } = client;

window.addEventListener('online', () => client.retryNow());

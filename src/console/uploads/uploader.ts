/**
 * Sends a file’s bytes, in a thread of its own: reading, checksums and the digest keep no page from being drawn. How an upload
 * survives is the client library’s to know.
 */
import { createDarkroomClient, type DarkroomClient } from '../../client/browser.ts';
import { failureOf } from '../service/failure.ts';
import type { FromUploader, ToUploader } from './upload-messages.ts';

/** What a worker is to itself; the types of pages have another one. */
interface WorkerScope {
  addEventListener(type: 'message', listener: (event: MessageEvent<ToUploader>) => void): void;
  postMessage(message: FromUploader): void;
}
const scope = globalThis as unknown as WorkerScope;

let client: DarkroomClient | undefined;

scope.addEventListener('message', ({ data }) => {
  if (data.kind === 'retryNow') {
    client?.retryNow();
  } else {
    void upload(data);
  }
});

async function upload({ origin, token, taskId, file }: ToUploader & { kind: 'begin' }) {
  client = createDarkroomClient({
    endpoint: origin,
    ...(token !== undefined && { credential: token }),
  });
  try {
    const { sizeBytes } = await client.uploadImage(file, {
      taskId,
      digest: true,
      // Whoever has the page open wants it to go on, however long the network is away.
      retry: { giveUpAfterMs: Infinity, giveUpWithoutProgressMs: Infinity },
      onProgress({ waiting, ...progress }) {
        scope.postMessage({
          kind: 'progress',
          progress: {
            ...progress,
            ...(waiting !== undefined && {
              waiting: { failure: failureOf(waiting.error), untilMs: waiting.untilMs },
            }),
          },
        });
      },
    });
    scope.postMessage({ kind: 'done', sizeBytes });
  } catch (error) {
    scope.postMessage({ kind: 'failed', failure: failureOf(error) });
  }
}

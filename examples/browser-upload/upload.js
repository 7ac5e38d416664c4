// Uploads a file from a page of any origin that the service is told of (DARKROOM_CORS_ORIGINS). The client sends it by UploadChunk,
// since browsers cannot stream a request, and goes on by itself after whatever breaks.
import { createDarkroomClient, DarkroomError, Image_DiskFormat } from 'darkroom/client';

const form = document.querySelector('form');
const bar = document.querySelector('progress');
const status = document.querySelector('[role=status]');
const { pause } = form.elements;

/** Of an upload that was begun on this page and is not done: the task, by what the file looks like. */
const begun = {
  key: (file) => `upload ${file.name} ${file.size} ${file.lastModified}`,
  find: (file) => localStorage.getItem(begun.key(file)),
  keep: (file, taskId) => localStorage.setItem(begun.key(file), taskId),
  forget: (file) => localStorage.removeItem(begun.key(file)),
};

function tell({ step, committedBytes, sizeBytes, bytesPerSecond, waiting }) {
  bar.value = sizeBytes ? committedBytes / sizeBytes : 0;
  status.textContent = waiting
    ? `${waiting.error.message} Trying again in ${Math.ceil((waiting.untilMs - Date.now()) / 1000)} s.`
    : `${step}: ${Math.round(bar.value * 100)} % at ${(bytesPerSecond / 2 ** 20).toFixed(1)} MiB/s`;
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  void upload();
});

async function upload() {
  const { endpoint, token, file: files, format } = form.elements;
  const [file] = files.files;
  const darkroom = createDarkroomClient({
    endpoint: endpoint.value,
    credential: () => token.value || undefined,
  });
  const paused = new AbortController();
  const done = new AbortController();
  pause.addEventListener('click', () => paused.abort(), { signal: done.signal });
  // The network is back: what waits for its next try need not wait.
  addEventListener('online', () => darkroom.retryNow(), { signal: done.signal });
  pause.disabled = false;
  bar.hidden = false;
  const taskId = begun.find(file);
  try {
    const { image } = await darkroom.uploadImage(file, {
      ...(taskId === null
        ? { image: { name: file.name, diskFormat: Image_DiskFormat[format.value] } }
        : { taskId }),
      signal: paused.signal,
      onTask: (ids) => begun.keep(file, ids.taskId),
      onProgress: tell,
    });
    begun.forget(file);
    status.textContent = `${image.name} is ACTIVE: ${image.sizeBytes} bytes, sha256 ${image.sha256}`;
  } catch (error) {
    if (paused.signal.aborted) {
      status.textContent = 'Paused. Choose the same file again to go on, also after a reload.';
    } else {
      // What has ended for good is not gone on with.
      begun.forget(file);
      status.textContent =
        error instanceof DarkroomError ? `${error.reason}: ${error.message}` : String(error);
    }
  } finally {
    pause.disabled = true;
    done.abort();
    darkroom.close();
  }
}

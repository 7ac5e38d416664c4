import { useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Empty } from '../parts/notice.tsx';
import { ProgressBar } from '../parts/progress-bar.tsx';
import { StateMark } from '../parts/state-mark.tsx';
import { tell, tellFailure } from '../parts/toasts.tsx';
import { PageTitle } from '../parts/page-title.tsx';
import { Link } from '../routing/link.tsx';
import { now } from '../service/clock.ts';
import type { Failure } from '../service/failure.ts';
import { tasks } from '../service/service.ts';
import { bytesText, remainingText, percentText, rateText, shareOf } from '../words/amounts.ts';
import type { Tone } from '../words/image-words.ts';
import { FileChooser } from './file-chooser.tsx';
import { newImage } from './new-image-order.ts';
import type { ToldProgress } from './upload-messages.ts';
import { uploads, type Upload, type UploadStanding } from './upload-list.ts';
import { pauseUpload, putAway, resumeUpload, resumeWith, retryUpload } from './uploads.ts';

/** What this browser sends, and what it waits for. */
export function UploadsPage() {
  const all = uploads.value.toReversed();
  return (
    <>
      <div class="page-head">
        <PageTitle>Uploads</PageTitle>
        <p class="page-sum">from this browser</p>
      </div>
      {all.length === 0 ? (
        <Empty title="This browser is not uploading anything.">
          <p>Drop a disk image anywhere on this page, or</p>
          <Button kind="main" onClick={() => newImage()}>
            New image
          </Button>
        </Empty>
      ) : (
        <ul class="uploads">
          {all.map((upload) => (
            <UploadCard key={upload.stored.taskId} upload={upload} />
          ))}
        </ul>
      )}
    </>
  );
}

function standingWords(standing: UploadStanding): readonly [string, Tone] {
  switch (standing.kind) {
    case 'queued':
      return ['Waits for its turn', 'busy'];
    case 'running':
      return standing.progress?.waiting === undefined
        ? ['Uploading', 'busy']
        : ['Waiting for the network', 'busy'];
    case 'paused':
      return ['Paused', 'quiet'];
    case 'elsewhere':
      return ['Goes on in another tab', 'busy'];
    case 'file-needed':
      return ['Interrupted', 'bad'];
    case 'failed':
      return ['Failed', 'bad'];
    case 'done':
      return ['Done', 'good'];
  }
}

function UploadCard({ upload: { stored, standing } }: { readonly upload: Upload }) {
  const [isCancelling, setCancelling] = useState(false);
  const [word, tone] = standingWords(standing);
  const { taskId } = stored;
  const progress = standing.kind === 'running' ? standing.progress : undefined;
  const isOver = standing.kind === 'done' || standing.kind === 'failed';
  return (
    <li class="upload">
      <div class="upload-head">
        <Link to={`/tasks/${taskId}`} class="upload-name">
          {stored.name === '' ? stored.fileName : stored.name}
        </Link>
        <StateMark word={word} tone={tone} />
      </div>
      {standing.kind === 'running' && <UploadProgressBar stored={stored} progress={progress} />}
      <UploadNote stored={stored} standing={standing} />
      <div class="acts">
        {standing.kind === 'running' && <Button onClick={() => pauseUpload(taskId)}>Pause</Button>}
        {standing.kind === 'paused' && (
          <Button kind="main" onClick={() => void resumeUpload(taskId)}>
            Go on
          </Button>
        )}
        {standing.kind === 'file-needed' && (
          <>
            {stored.handle !== undefined && (
              <Button kind="main" onClick={() => void resumeUpload(taskId)}>
                Go on
              </Button>
            )}
            <FileChooser
              text="Choose the file again"
              kind={stored.handle === undefined ? 'main' : 'plain'}
              onFile={({ file }) => void resumeWith(taskId, file)}
            />
          </>
        )}
        {standing.kind === 'failed' &&
          (canGoOn(standing.failure) ? (
            <Button kind="main" onClick={() => void resumeUpload(taskId)}>
              Go on
            </Button>
          ) : (
            <Button kind="main" onClick={() => void retryUpload(taskId).catch(tellFailure)}>
              Retry
            </Button>
          ))}
        {standing.kind === 'done' && (
          <Link to={`/images/${stored.imageId}`} class="button button-plain">
            Open the image
          </Link>
        )}
        {isOver ? (
          <Button kind="bare" onClick={() => putAway(taskId)}>
            Put away
          </Button>
        ) : (
          <Button kind="bare" onClick={() => setCancelling(true)}>
            Cancel…
          </Button>
        )}
      </div>
      {isCancelling && (
        <Dialog title="Cancel this upload?" onClose={() => setCancelling(false)}>
          <p>Its image will not come by it. What is stored is kept for a while, for a retry.</p>
          <div class="dialog-acts">
            <Button onClick={() => setCancelling(false)}>Let it go on</Button>
            <Button kind="danger" onClick={() => void cancel(taskId)}>
              Cancel the upload
            </Button>
          </div>
        </Dialog>
      )}
    </li>
  );
}

/** What a failed upload goes on after, once its cause is mended; after all else its task is over. */
const mended: ReadonlySet<string> = new Set([
  'WRITER_FENCED',
  'WRITER_ACTIVE',
  'QUOTA_EXCEEDED',
  'STORAGE_FULL',
  'SOURCE_UNREADABLE',
]);

function canGoOn({ kind, reason }: Failure): boolean {
  return kind === 'unknown' || kind === 'refused' || kind === 'passing' || mended.has(reason);
}

async function cancel(taskId: string): Promise<void> {
  try {
    await tasks.cancelTask({ taskId, reason: 'cancelled in the console' });
    putAway(taskId);
    tell('The upload was cancelled.');
  } catch (error) {
    tellFailure(error);
  }
}

function UploadProgressBar({
  stored,
  progress,
}: {
  readonly stored: Upload['stored'];
  readonly progress: ToldProgress | undefined;
}) {
  const done = BigInt(progress?.committedBytes ?? 0);
  return (
    <ProgressBar
      share={progress === undefined ? undefined : shareOf(done, BigInt(stored.size))}
      label={`Upload of ${stored.fileName}`}
      isStill={progress?.waiting !== undefined}
    />
  );
}

function UploadNote({ stored, standing }: Upload) {
  switch (standing.kind) {
    case 'running':
      return standing.progress === undefined ? (
        <p class="upload-note">Begins…</p>
      ) : (
        <RunningNote stored={stored} progress={standing.progress} />
      );
    case 'file-needed':
      return (
        <p class="upload-note">
          {standing.wrong ??
            `What is stored is safe. To go on, the browser needs ${stored.fileName} again.`}
        </p>
      );
    case 'failed':
      return (
        <p class="upload-note">
          {standing.failure.message} <span class="reason">{standing.failure.reason}</span>
        </p>
      );
    default:
      return (
        <p class="upload-note">
          {stored.fileName} · {bytesText(stored.size)}
        </p>
      );
  }
}

const stepWords: Readonly<Record<ToldProgress['step'], string>> = {
  starting: 'begins',
  reading: 'reads what was sent before',
  sending: '',
  waiting: '',
  finishing: 'is being checked',
  done: '',
};

function RunningNote({
  stored,
  progress,
}: {
  readonly stored: Upload['stored'];
  readonly progress: ToldProgress;
}) {
  const { committedBytes, holeBytes, bytesPerSecond, waiting, step } = progress;
  if (waiting !== undefined) {
    const inMs = Math.max(0, waiting.untilMs - now.value);
    const what =
      waiting.failure.kind === 'unreached'
        ? 'The service does not answer.'
        : waiting.failure.message;
    return (
      <p class="upload-note" role="status">
        {what} {inMs < 1000 ? 'Trying again…' : `Trying again in ${remainingText(inMs)}.`} Nothing
        is lost.
      </p>
    );
  }
  const share = stored.size === 0 ? 1 : committedBytes / stored.size;
  const leftMs =
    bytesPerSecond > 1 ? ((stored.size - committedBytes) * 1000) / bytesPerSecond : undefined;
  return (
    <p class="upload-note">
      {[
        `${bytesText(committedBytes)} of ${bytesText(stored.size)}`,
        percentText(share),
        stepWords[step],
        step === 'sending' && bytesPerSecond > 1 ? rateText(bytesPerSecond) : '',
        step === 'sending' && leftMs !== undefined ? `${remainingText(leftMs)} left` : '',
        holeBytes > 0 ? `${bytesText(holeBytes)} of zeros skipped` : '',
      ]
        .filter((part) => part !== '')
        .join(' · ')}
    </p>
  );
}

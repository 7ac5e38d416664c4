import { Image_Outlook, type Image } from '../../../gen/darkroom/v1/image_pb.ts';
import { Moment } from '../parts/moment.tsx';
import { ProgressBar } from '../parts/progress-bar.tsx';
import { StateMark } from '../parts/state-mark.tsx';
import { Link } from '../routing/link.tsx';
import { ownProject } from '../service/session.ts';
import type { FollowedTask } from '../tasks/followed-tasks.ts';
import { leftMs } from '../tasks/task-rate.ts';
import { bytesText, remainingText, percentText, shareOf } from '../words/amounts.ts';
import { diskFormats, imageTitle, outlookWord, visibilities } from '../words/image-words.ts';

/** Images, one a row, with what is known of their coming. @param live their tasks, by their images. */
export function ImageRows({
  images,
  live,
}: {
  readonly images: readonly Image[];
  readonly live: ReadonlyMap<string, FollowedTask>;
}) {
  return (
    <div class="table image-table" role="table" aria-label="Images">
      <div role="rowgroup" class="table-head">
        <div role="row" class="table-row">
          <span role="columnheader">Name</span>
          <span role="columnheader">Outlook</span>
          <span role="columnheader">Format</span>
          <span role="columnheader" class="number">
            Size
          </span>
          <span role="columnheader" class="number">
            Changed
          </span>
        </div>
      </div>
      <div role="rowgroup">
        {images.map((image) => (
          <ImageRow key={image.id} image={image} live={live.get(image.id)} />
        ))}
      </div>
    </div>
  );
}

function ImageRow({
  image,
  live,
}: {
  readonly image: Image;
  readonly live: FollowedTask | undefined;
}) {
  const [word, tone] = outlookWord(image.outlook);
  const isComing = image.outlook === Image_Outlook.EXPECTED;
  // What once went wrong with an image that is there is told on its own page.
  const fault = image.outlook === Image_Outlook.AVAILABLE ? undefined : image.lastFault;
  return (
    <div role="row" class="table-row row-link">
      <span role="cell" class="cell-name">
        <Link to={`/images/${image.id}`} class="row-target">
          {imageTitle(image)}
        </Link>
        <Labels image={image} />
        {fault !== undefined && (
          <span class={isComing ? 'row-fault row-fault-survived' : 'row-fault'}>
            <span class="reason">{fault.reason}</span> {fault.message}
          </span>
        )}
      </span>
      <span role="cell" class="cell-outlook">
        <StateMark word={word} tone={tone} />
        {isComing && live !== undefined && <Coming followed={live} />}
      </span>
      <span role="cell" class="cell-format">
        {diskFormats.get(image.diskFormat)}
      </span>
      <span role="cell" class="number cell-size">
        {image.sizeBytes !== undefined && bytesText(image.sizeBytes)}
      </span>
      <span role="cell" class="number cell-changed">
        <Moment time={image.updateTime} />
      </span>
    </div>
  );
}

/** What sets an image apart, where anything does. */
function Labels({ image }: { readonly image: Image }) {
  const visibility = visibilities.get(image.visibility)?.[0];
  const labels = [
    visibility === 'private' ? undefined : visibility,
    ownProject.value !== undefined && image.projectId !== ownProject.value
      ? `of ${image.projectId}`
      : undefined,
    image.protected ? 'protected' : undefined,
    image.hidden ? 'hidden' : undefined,
    image.deactivated ? 'deactivated' : undefined,
    ...image.tags.slice(0, 3),
  ].filter((label) => label !== undefined);
  return labels.length === 0 ? null : (
    <span class="labels">
      {labels.map((label) => (
        <span key={label} class="label">
          {label}
        </span>
      ))}
    </span>
  );
}

function Coming({ followed: { task, pace } }: { readonly followed: FollowedTask }) {
  const done = task.progress?.bytesDone ?? 0n;
  const share = shareOf(done, task.progress?.bytesTotal);
  const left = leftMs(pace, task.progress?.bytesTotal);
  if (done === 0n && share !== 1) {
    return null;
  }
  return (
    <>
      <ProgressBar share={share} label="Progress" isStill={(pace?.rate ?? 0) < 1} />
      <span class="cell-note">
        {share === undefined ? bytesText(done) : percentText(share)}
        {left !== undefined && ` · ${remainingText(left)} left`}
      </span>
    </>
  );
}

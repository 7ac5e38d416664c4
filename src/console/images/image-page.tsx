import { useEffect, useState } from 'preact/hooks';
import { Image_Outlook, Image_State, type Image } from '../../../gen/darkroom/v1/image_pb.ts';
import { TaskOrder } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { Task_Type } from '../../../gen/darkroom/v1/task_pb.ts';
import { Button } from '../parts/button.tsx';
import { Copyable } from '../parts/copyable.tsx';
import { Facts } from '../parts/facts.tsx';
import { FaultNote } from '../parts/fault-note.tsx';
import { Moment } from '../parts/moment.tsx';
import { Empty, FailureNotice, Loading } from '../parts/notice.tsx';
import { StateMark } from '../parts/state-mark.tsx';
import { PageTitle } from '../parts/page-title.tsx';
import { Link } from '../routing/link.tsx';
import { images, tasks } from '../service/service.ts';
import { ownProject, whyReadOnly } from '../service/session.ts';
import { useRead, type Read } from '../service/use-read.ts';
import { TaskRows } from '../tasks/task-rows.tsx';
import { retry } from '../tasks/task-actions.tsx';
import { useFollowedTasks } from '../tasks/use-followed-tasks.ts';
import { bytesText } from '../words/amounts.ts';
import {
  containerFormats,
  diskFormats,
  imageTitle,
  outlookWord,
  visibilities,
} from '../words/image-words.ts';
import { canRetry } from '../words/task-words.ts';
import { DeleteImageDialog } from './delete-image.tsx';
import { DownloadButton } from './download-image.tsx';
import { EditImageDialog } from './edit-image.tsx';
import { noteImageName } from '../service/image-names.ts';
import { ImageMembers } from './image-members.tsx';

/** One image: what it is, who sees it, how it came, and what can be done with it. */
export function ImagePage({ id }: { readonly id: string }) {
  const read = useRead(`image ${id}`, async (signal) => {
    const { image } = await images.getImage({ imageId: id }, { signal });
    if (image !== undefined) {
      noteImageName(image);
    }
    return image;
  });
  const image = read.value;
  if (image === undefined) {
    return read.failure === undefined ? (
      <Loading />
    ) : read.failure.kind === 'missing' ? (
      <Empty title="There is no such image, or none that you may see." isPage>
        <Link to="/images">Show the images that there are</Link>
      </Empty>
    ) : (
      <FailureNotice failure={read.failure} onAgain={read.again} />
    );
  }
  return <ImageView image={image} read={read} />;
}

/** Why the reader may not change an image; undefined where nothing is known against it. */
function whyNotChange(image: Image): string | undefined {
  if (image.state === Image_State.DELETED) {
    return 'The image is deleted.';
  }
  return ownProject.value !== undefined && image.projectId !== ownProject.value
    ? `It belongs to the project “${image.projectId}”, and only that may change it.`
    : whyReadOnly();
}

function ImageView({
  image,
  read,
}: {
  readonly image: Image;
  readonly read: Read<Image | undefined>;
}) {
  const [asked, setAsked] = useState<'edit' | 'delete' | undefined>(undefined);
  const [word, tone] = outlookWord(image.outlook);
  const isDeleted = image.state === Image_State.DELETED;
  const isOwn = ownProject.value === undefined || image.projectId === ownProject.value;
  const whyNot = whyNotChange(image);
  return (
    <>
      <nav class="crumbs" aria-label="Where you are">
        <Link to="/images">Images</Link>
      </nav>
      <div class="page-head">
        <div class="title">
          <PageTitle>{imageTitle(image)}</PageTitle>
          <StateMark word={isDeleted ? 'Deleted' : word} tone={isDeleted ? 'quiet' : tone} />
        </div>
        {!isDeleted && (
          <div class="acts">
            <DownloadButton image={image} />
            <Button whyNot={whyNot} onClick={() => setAsked('edit')}>
              Edit…
            </Button>
            <Button
              kind="danger"
              whyNot={whyNot ?? (image.protected ? 'It is protected: edit that first.' : undefined)}
              onClick={() => setAsked('delete')}
            >
              Delete…
            </Button>
          </div>
        )}
      </div>
      <WhyNotHere image={image} />
      <div class="columns">
        <section>
          <h2>Facts</h2>
          <ImageFacts image={image} />
        </section>
        <section>
          <Properties image={image} />
          {isOwn && !isDeleted && <ImageMembers image={image} whyNot={whyNot} />}
        </section>
      </div>
      {isOwn && <ImageTasks image={image} onChange={read.again} />}
      {asked === 'edit' && (
        <EditImageDialog image={image} onClose={() => setAsked(undefined)} onEdited={read.put} />
      )}
      {asked === 'delete' && (
        <DeleteImageDialog image={image} onClose={() => setAsked(undefined)} onDeleted={read.put} />
      )}
    </>
  );
}

/** Why an image will not come, and what to do. */
function WhyNotHere({ image }: { readonly image: Image }) {
  const fault = image.lastFault;
  const isGone = image.outlook !== Image_Outlook.NOT_COMING || image.state === Image_State.DELETED;
  const task = useRead(`latest ${isGone ? '' : image.latestTask}`, async (signal) =>
    isGone || image.latestTask === ''
      ? undefined
      : (await tasks.getTask({ taskId: image.latestTask }, { signal })).task,
  ).value;
  if (isGone) {
    return null;
  }
  return (
    <section class="why" aria-label="Why it will not come">
      {fault === undefined ? (
        <p>{task?.message || 'Nothing brings this image any more.'}</p>
      ) : (
        <FaultNote fault={fault} type={task?.type ?? Task_Type.UNSPECIFIED} />
      )}
      {task !== undefined && canRetry(task) && (
        <Button kind="main" whyNot={whyReadOnly()} onClick={() => void retry(task.id)}>
          Retry
        </Button>
      )}
    </section>
  );
}

function ImageFacts({ image }: { readonly image: Image }) {
  const visibility = visibilities.get(image.visibility);
  return (
    <Facts
      facts={[
        ['Id', <Copyable text={image.id} label="the image’s id" />],
        ['Size', image.sizeBytes === undefined ? undefined : bytesText(image.sizeBytes)],
        [
          'Disk',
          image.virtualSizeBytes === undefined
            ? undefined
            : `${bytesText(image.virtualSizeBytes)}, as a machine sees it`,
        ],
        [
          'Format',
          [diskFormats.get(image.diskFormat), containerFormats.get(image.containerFormat)]
            .filter((text) => text !== undefined && text !== 'bare')
            .join(' in ') || 'not set yet',
        ],
        [
          'SHA-256',
          image.sha256 === '' ? undefined : (
            <Copyable text={image.sha256} label="the image’s digest" />
          ),
        ],
        [
          'Came as',
          image.packedFormat === undefined
            ? undefined
            : `${image.packedFormat}, ${bytesText(image.packedSizeBytes ?? 0n)}`,
        ],
        ['Seen by', visibility === undefined ? undefined : `${visibility[0]}: ${visibility[1]}`],
        ['Project', image.projectId],
        ['Needs disk', image.minDiskBytes === 0n ? undefined : bytesText(image.minDiskBytes)],
        ['Needs memory', image.minRamBytes === 0n ? undefined : bytesText(image.minRamBytes)],
        ['Protected', image.protected ? 'yes: it cannot be deleted' : undefined],
        ['Hidden', image.hidden ? 'yes: lists leave it out' : undefined],
        ['Deactivated', image.deactivated ? 'yes: only admins have its bytes' : undefined],
        ['Made', <Moment time={image.createTime} />],
        ['Changed', <Moment time={image.updateTime} />],
        ['Deleted', image.deleteTime && <Moment time={image.deleteTime} />],
      ]}
    />
  );
}

function Properties({ image }: { readonly image: Image }) {
  const properties = Object.entries(image.properties);
  if (properties.length === 0 && image.tags.length === 0) {
    return null;
  }
  return (
    <>
      <h2>Properties</h2>
      {image.tags.length > 0 && (
        <p class="labels tags">
          {image.tags.map((tag) => (
            <span key={tag} class="label">
              {tag}
            </span>
          ))}
        </p>
      )}
      <Facts facts={properties} />
    </>
  );
}

function ImageTasks({ image, onChange }: { readonly image: Image; readonly onChange: () => void }) {
  const earlier = useRead(`tasks of ${image.id}`, (signal) =>
    tasks.listTasks(
      { filter: { imageId: image.id }, orderBy: TaskOrder.CREATE_TIME_DESC },
      { signal },
    ),
  );
  const followed = useFollowedTasks(
    image.id,
    () => ({ imageId: image.id }),
    () => onChange(),
  );
  useEffect(() => noteImageName(image), [image]);
  const shown = followed.isWhole.value
    ? followed.all.value
    : (earlier.value?.tasks ?? []).map((task) => ({ task, pace: undefined }));
  return (
    <section>
      <h2>Tasks</h2>
      {shown.length > 0 ? (
        <TaskRows tasks={shown} isOfOneImage />
      ) : (
        <p class="page-note">Its tasks are so old that they are not kept any more.</p>
      )}
    </section>
  );
}

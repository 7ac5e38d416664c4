import { useState } from 'preact/hooks';
import { Image_Visibility, type Image } from '../../../gen/darkroom/v1/image_pb.ts';
import { ImageMember_Status } from '../../../gen/darkroom/v1/image_member_pb.ts';
import { Button } from '../parts/button.tsx';
import { Field } from '../parts/field.tsx';
import { FailureNotice } from '../parts/notice.tsx';
import { tell, tellFailure } from '../parts/toasts.tsx';
import { images } from '../service/service.ts';
import { useRead } from '../service/use-read.ts';

const statuses: ReadonlyMap<ImageMember_Status, string> = new Map([
  [ImageMember_Status.PENDING, 'has not answered'],
  [ImageMember_Status.ACCEPTED, 'has accepted'],
  [ImageMember_Status.REJECTED, 'does not want it'],
]);

/** With which projects an image is shared. */
export function ImageMembers({
  image,
  whyNot,
}: {
  readonly image: Image;
  readonly whyNot: string | undefined;
}) {
  return image.visibility === Image_Visibility.SHARED ? (
    <Members image={image} whyNot={whyNot} />
  ) : null;
}

function Members({
  image,
  whyNot,
}: {
  readonly image: Image;
  readonly whyNot: string | undefined;
}) {
  const [project, setProject] = useState('');
  const read = useRead(`members of ${image.id}`, (signal) =>
    images.listImageMembers({ imageId: image.id, pageSize: 1000 }, { signal }),
  );
  const share = async (memberProjectId: string): Promise<void> => {
    try {
      await images.addImageMember({ imageId: image.id, memberProjectId });
      setProject('');
    } catch (error) {
      tellFailure(error);
    }
    read.again();
  };
  const unshare = async (memberProjectId: string): Promise<void> => {
    try {
      await images.removeImageMember({ imageId: image.id, memberProjectId });
      tell(`It is not shared with ${memberProjectId} any more.`, {
        text: 'Undo',
        run: () => void share(memberProjectId),
      });
    } catch (error) {
      tellFailure(error);
    }
    read.again();
  };
  const members = read.value?.members ?? [];
  return (
    <>
      <h2>Shared with</h2>
      {read.failure !== undefined && <FailureNotice failure={read.failure} onAgain={read.again} />}
      {members.length > 0 && (
        <ul class="members">
          {members.map(({ memberProjectId: projectId, status }) => (
            <li key={projectId}>
              <span>{projectId}</span>
              <span class="cell-note">{statuses.get(status)}</span>
              <Button kind="bare" whyNot={whyNot} onClick={() => void unshare(projectId)}>
                Remove
              </Button>
            </li>
          ))}
        </ul>
      )}
      <form
        class="member-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (project.trim() !== '') {
            void share(project.trim());
          }
        }}
      >
        <Field label="One more project">
          {(ids) => (
            <input
              {...ids}
              type="text"
              value={project}
              onInput={(event) => setProject(event.currentTarget.value)}
            />
          )}
        </Field>
        <Button type="submit" whyNot={whyNot}>
          Share
        </Button>
      </form>
    </>
  );
}

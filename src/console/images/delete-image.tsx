import type { Image } from '../../../gen/darkroom/v1/image_pb.ts';
import { Image_Outlook } from '../../../gen/darkroom/v1/image_pb.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { tell, tellFailure } from '../parts/toasts.tsx';
import { images } from '../service/service.ts';
import { bytesText } from '../words/amounts.ts';
import { imageTitle } from '../words/image-words.ts';

/** Asks whether an image is really to go: its bytes do not come back. */
export function DeleteImageDialog({
  image,
  onClose,
  onDeleted,
}: {
  readonly image: Image;
  readonly onClose: () => void;
  readonly onDeleted: (image: Image | undefined) => void;
}) {
  const remove = async (): Promise<void> => {
    onClose();
    try {
      // Of what the reader has seen, and nothing else.
      const answer = await images.deleteImage({ imageId: image.id, etag: image.etag });
      tell(`${imageTitle(image)} was deleted.`);
      onDeleted(answer.image);
    } catch (error) {
      tellFailure(error);
    }
  };
  return (
    <Dialog title={`Delete ${imageTitle(image)}?`} onClose={onClose}>
      <p>
        {image.sizeBytes === undefined
          ? 'Whatever came of it goes.'
          : `Its ${bytesText(image.sizeBytes)} go.`}{' '}
        {image.outlook === Image_Outlook.EXPECTED && 'The task that brings it fails. '}
        This cannot be undone. Machines that run from it are not touched.
      </p>
      <div class="dialog-acts">
        <Button onClick={onClose}>Keep it</Button>
        <Button kind="danger" onClick={() => void remove()}>
          Delete the image
        </Button>
      </div>
    </Dialog>
  );
}

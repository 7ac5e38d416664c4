import { useEffect, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { FailureNotice } from '../parts/notice.tsx';
import { tell } from '../parts/toasts.tsx';
import { goTo } from '../routing/location.ts';
import { failureOf, type Failure } from '../service/failure.ts';
import { images, learnFrom } from '../service/service.ts';
import { bytesText } from '../words/amounts.ts';
import { FileChooser } from './file-chooser.tsx';
import { guessFormat, worthLooking } from './guess-format.ts';
import { DraftFields, draftOf, imageOf, type ImageDraft } from './image-draft.tsx';
import { givenByDrop, type GivenFile } from './new-image-order.ts';
import { beginUpload } from './uploads.ts';

/** Asks for a file, guesses what it is, and uploads it. */
export function FileImage({
  given: firstGiven,
  onClose,
}: {
  readonly given: GivenFile | undefined;
  readonly onClose: () => void;
}) {
  const [given, setGiven] = useState(firstGiven);
  const [draft, setDraft] = useState<ImageDraft>(() => draftOf(guessFormat('')));
  const [failure, setFailure] = useState<Failure | undefined>(undefined);
  const [isBusy, setBusy] = useState(false);

  useEffect(() => {
    if (given === undefined) {
      return;
    }
    const { file } = given;
    const look = async (): Promise<void> => {
      // What cannot be read now is told when it is sent.
      const beginning = await file
        .slice(0, worthLooking)
        .arrayBuffer()
        .catch(() => undefined);
      const guess = guessFormat(file.name, beginning && new Uint8Array(beginning));
      setDraft((before) => ({ ...draftOf(guess), visibility: before.visibility }));
    };
    void look();
  }, [given]);

  const begin = async (): Promise<void> => {
    if (given === undefined || isBusy) {
      return;
    }
    const { file, handle } = given;
    setBusy(true);
    try {
      const { image, task } = await images.createImage({
        image: imageOf(draft),
        source: {
          case: 'upload',
          value: { totalSize: BigInt(file.size), decompress: draft.decompress },
        },
      });
      if (image !== undefined && task !== undefined) {
        onClose();
        goTo('/uploads');
        await beginUpload(
          {
            taskId: task.id,
            imageId: image.id,
            name: image.name,
            fileName: file.name,
            size: file.size,
            lastModified: file.lastModified,
            begunMs: Date.now(),
            handle,
          },
          file,
        );
        return;
      }
    } catch (error) {
      learnFrom(error);
      setFailure(failureOf(error));
    }
    setBusy(false);
  };

  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        void begin();
      }}
    >
      <div
        class="drop"
        onDragOver={(event) => event.preventDefault()}
        onDrop={(event) => {
          event.preventDefault();
          event.stopPropagation();
          if (event.dataTransfer !== null) {
            void givenByDrop(event.dataTransfer).then((dropped) =>
              dropped === undefined ? tell('That is no file.', undefined, true) : setGiven(dropped),
            );
          }
        }}
      >
        {given === undefined ? (
          <p>Drop a disk image here, or</p>
        ) : (
          <p>
            <strong>{given.file.name}</strong> {bytesText(given.file.size)}
          </p>
        )}
        <FileChooser
          text={given === undefined ? 'Choose a file' : 'Choose another'}
          onFile={setGiven}
        />
      </div>
      {failure !== undefined && <FailureNotice failure={failure} />}
      <DraftFields draft={draft} onDraft={setDraft} failure={failure} />
      <p class="field-note">
        Runs of zeros do not travel. The upload goes on after a reload or a broken network.
      </p>
      <div class="dialog-acts">
        <Button onClick={onClose}>Cancel</Button>
        <Button
          kind="main"
          type="submit"
          whyNot={given === undefined ? 'Choose a file first.' : undefined}
        >
          {isBusy ? 'Begins…' : 'Upload'}
        </Button>
      </div>
    </form>
  );
}

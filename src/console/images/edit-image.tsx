import { useState } from 'preact/hooks';
import {
  Image_State,
  type Image,
  type Image_Visibility,
} from '../../../gen/darkroom/v1/image_pb.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { FailureNotice } from '../parts/notice.tsx';
import { tell, tellFailure } from '../parts/toasts.tsx';
import { failureOf, type Failure } from '../service/failure.ts';
import { images, learnFrom } from '../service/service.ts';
import { diskFormats, imageTitle, visibilities } from '../words/image-words.ts';
import { changesOf, fieldsOf, imageFields, wrongFields, type ImageFields } from './image-fields.ts';

/** Changes an image’s fields, all at once, and only as long as nobody else has changed it meanwhile. */
export function EditImageDialog({
  image,
  onClose,
  onEdited,
}: {
  readonly image: Image;
  readonly onClose: () => void;
  readonly onEdited: (image: Image | undefined) => void;
}) {
  const [fields, setFields] = useState<ImageFields>(() => fieldsOf(image));
  const [failure, setFailure] = useState<Failure | undefined>(undefined);
  const wrong = wrongFields(fields);
  const set = (changed: Partial<ImageFields>): void => setFields({ ...fields, ...changed });

  const save = async (): Promise<void> => {
    const paths = changesOf(fieldsOf(image), fields);
    if (Object.keys(wrong).length > 0) {
      return;
    }
    if (paths.length === 0) {
      onClose();
      return;
    }
    try {
      const edited = await update(image, fields, paths, image.etag);
      onEdited(edited);
      onClose();
      tell(`${imageTitle(edited ?? image)} was changed.`, {
        text: 'Undo',
        run: () => {
          // What was there before, unless somebody has changed it again.
          void update(image, fieldsOf(image), paths, edited?.etag ?? '').then((undone) => {
            onEdited(undone);
            tell('The change was undone.');
          }, tellFailure);
        },
      });
    } catch (error) {
      learnFrom(error);
      setFailure(failureOf(error));
    }
  };

  return (
    <Dialog title="Edit the image" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        {failure !== undefined && <FailureNotice failure={failure} />}
        <Field label="Name">
          {(ids) => (
            <input
              {...ids}
              type="text"
              maxLength={255}
              value={fields.name}
              onInput={(event) => set({ name: event.currentTarget.value })}
            />
          )}
        </Field>
        <div class="fields-beside">
          <Field label="Seen by">
            {(ids) => (
              <select
                {...ids}
                value={String(fields.visibility)}
                onChange={(event) =>
                  set({ visibility: Number(event.currentTarget.value) as Image_Visibility })
                }
              >
                {[...visibilities].map(([value, [word, meaning]]) => (
                  <option key={value} value={String(value)}>
                    {word}: {meaning}
                  </option>
                ))}
              </select>
            )}
          </Field>
          {image.state === Image_State.QUEUED && (
            <Field label="Disk format">
              {(ids) => (
                <select
                  {...ids}
                  value={String(fields.diskFormat)}
                  onChange={(event) =>
                    set({
                      diskFormat: Number(event.currentTarget.value) as ImageFields['diskFormat'],
                    })
                  }
                >
                  <option value="0">not set</option>
                  {[...diskFormats].map(([value, word]) => (
                    <option key={value} value={String(value)}>
                      {word}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          )}
        </div>
        <div class="fields-beside">
          <Field label="Needs disk, in GiB" wrong={wrong.minDisk}>
            {(ids) => (
              <input
                {...ids}
                inputMode="decimal"
                value={fields.minDisk}
                onInput={(event) => set({ minDisk: event.currentTarget.value })}
              />
            )}
          </Field>
          <Field label="Needs memory, in MiB" wrong={wrong.minRam}>
            {(ids) => (
              <input
                {...ids}
                inputMode="decimal"
                value={fields.minRam}
                onInput={(event) => set({ minRam: event.currentTarget.value })}
              />
            )}
          </Field>
        </div>
        <Field label="Tags" hint="Between commas.">
          {(ids) => (
            <input
              {...ids}
              type="text"
              value={fields.tags}
              onInput={(event) => set({ tags: event.currentTarget.value })}
            />
          )}
        </Field>
        <Field label="Properties" hint="One a line: name = value." wrong={wrong.properties}>
          {(ids) => (
            <textarea
              {...ids}
              rows={4}
              spellcheck={false}
              value={fields.properties}
              onInput={(event) => set({ properties: event.currentTarget.value })}
            />
          )}
        </Field>
        <Switch
          text="Protected: it cannot be deleted"
          isOn={fields.protected}
          onSwitch={(isOn) => set({ protected: isOn })}
        />
        <Switch
          text="Hidden: lists leave it out"
          isOn={fields.hidden}
          onSwitch={(isOn) => set({ hidden: isOn })}
        />
        {image.state === Image_State.ACTIVE && (
          <Switch
            text="Deactivated: only admins have its bytes"
            isOn={fields.deactivated}
            onSwitch={(isOn) => set({ deactivated: isOn })}
          />
        )}
        <div class="dialog-acts">
          <Button onClick={onClose}>Leave it as it is</Button>
          <Button kind="main" type="submit">
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

async function update(
  image: Image,
  fields: ImageFields,
  paths: readonly string[],
  etag: string,
): Promise<Image | undefined> {
  const answer = await images.updateImage({
    image: { id: image.id, etag, ...imageFields(fields) },
    updateMask: { paths: [...paths] },
  });
  return answer.image;
}

function Switch({
  text,
  isOn,
  onSwitch,
}: {
  readonly text: string;
  readonly isOn: boolean;
  readonly onSwitch: (isOn: boolean) => void;
}) {
  return (
    <label class="switch">
      <input
        type="checkbox"
        checked={isOn}
        onChange={(event) => onSwitch(event.currentTarget.checked)}
      />
      {text}
    </label>
  );
}

import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  Image_Visibility,
  type Image_DiskFormat,
  type ImageSchema,
} from '../../../gen/darkroom/v1/image_pb.ts';
import { Field } from '../parts/field.tsx';
import type { Failure } from '../service/failure.ts';
import { diskFormats, visibilities } from '../words/image-words.ts';
import type { Guess } from './guess-format.ts';

/** What a new image is to be, as it is typed. */
export interface ImageDraft {
  readonly name: string;
  readonly diskFormat: Image_DiskFormat;
  readonly containerFormat: Guess['containerFormat'];
  readonly visibility: Image_Visibility;
  readonly decompress: boolean;
}

/** What a guess says of it. */
export function draftOf({ name, diskFormat, containerFormat, isCompressed }: Guess): ImageDraft {
  return {
    name,
    diskFormat,
    containerFormat,
    visibility: Image_Visibility.PRIVATE,
    decompress: isCompressed,
  };
}

/** As the contract has it. */
export function imageOf(draft: ImageDraft): MessageInitShape<typeof ImageSchema> {
  const { name, diskFormat, containerFormat, visibility } = draft;
  return { name, diskFormat, containerFormat, visibility };
}

/** The fields that every new image has. */
export function DraftFields({
  draft,
  onDraft,
  failure,
}: {
  readonly draft: ImageDraft;
  readonly onDraft: (draft: ImageDraft) => void;
  readonly failure: Failure | undefined;
}) {
  const wrong = (field: string): string | undefined =>
    failure?.fields.find((one) => one.field === field)?.description;
  return (
    <>
      <Field label="Name" wrong={wrong('image.name')}>
        {(ids) => (
          <input
            {...ids}
            type="text"
            maxLength={255}
            value={draft.name}
            onInput={(event) => onDraft({ ...draft, name: event.currentTarget.value })}
          />
        )}
      </Field>
      <div class="fields-beside">
        <Field label="Disk format" wrong={wrong('image.disk_format')}>
          {(ids) => (
            <select
              {...ids}
              required
              value={draft.diskFormat === 0 ? '' : String(draft.diskFormat)}
              onChange={(event) =>
                onDraft({
                  ...draft,
                  diskFormat: Number(event.currentTarget.value) as Image_DiskFormat,
                })
              }
            >
              <option value="">Choose…</option>
              {[...diskFormats].map(([value, word]) => (
                <option key={value} value={String(value)}>
                  {word}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label="Seen by" wrong={wrong('image.visibility')}>
          {(ids) => (
            <select
              {...ids}
              value={String(draft.visibility)}
              onChange={(event) =>
                onDraft({
                  ...draft,
                  visibility: Number(event.currentTarget.value) as Image_Visibility,
                })
              }
            >
              {[...visibilities].map(([value, [word]]) => (
                <option key={value} value={String(value)}>
                  {word}
                </option>
              ))}
            </select>
          )}
        </Field>
      </div>
      <label class="switch">
        <input
          type="checkbox"
          checked={draft.decompress}
          onChange={(event) => onDraft({ ...draft, decompress: event.currentTarget.checked })}
        />
        It is compressed: unpack it, and keep what is inside
      </label>
    </>
  );
}

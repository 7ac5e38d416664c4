import { useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { Field } from '../parts/field.tsx';
import { FailureNotice } from '../parts/notice.tsx';
import { goTo } from '../routing/location.ts';
import { failureOf, type Failure } from '../service/failure.ts';
import { images, learnFrom } from '../service/service.ts';
import { guessFormat } from './guess-format.ts';
import { DraftFields, draftOf, imageOf, type ImageDraft } from './image-draft.tsx';

/** Asks for an address, and has the service fetch the image from there. */
export function ImportedImage({ onClose }: { readonly onClose: () => void }) {
  const [url, setUrl] = useState('');
  const [digest, setDigest] = useState('');
  const [draft, setDraft] = useState<ImageDraft>(() => draftOf(guessFormat('')));
  const [failure, setFailure] = useState<Failure | undefined>(undefined);
  const [isBusy, setBusy] = useState(false);

  const digestText = digest.trim().toLowerCase();
  const isDigest = digestText === '' || /^(?:[0-9a-f]{64}|[0-9a-f]{128})$/.test(digestText);

  const begin = async (): Promise<void> => {
    if (isBusy || !isDigest) {
      return;
    }
    setBusy(true);
    try {
      const { task } = await images.createImage({
        image: imageOf(draft),
        source: {
          case: 'copyFrom',
          value: {
            from: { case: 'url', value: url.trim() },
            decompress: draft.decompress,
            ...(digestText.length === 64 ? { sha256: digestText } : {}),
            ...(digestText.length === 128 ? { sha512: digestText } : {}),
          },
        },
      });
      onClose();
      goTo(task === undefined ? '/tasks' : `/tasks/${task.id}`);
      return;
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
      <Field label="Address" hint="http or https. The service fetches it, so it must reach it.">
        {(ids) => (
          <input
            {...ids}
            type="url"
            required
            placeholder="https://images.example.com/debian.qcow2"
            value={url}
            onInput={(event) => setUrl(event.currentTarget.value)}
            onBlur={() => {
              const guess = guessFormat(lastPart(url));
              setDraft((before) => ({
                ...before,
                containerFormat: guess.containerFormat,
                name: before.name === '' ? guess.name : before.name,
                diskFormat: before.diskFormat === 0 ? guess.diskFormat : before.diskFormat,
                decompress: before.decompress || guess.isCompressed,
              }));
            }}
          />
        )}
      </Field>
      {failure !== undefined && <FailureNotice failure={failure} />}
      <DraftFields draft={draft} onDraft={setDraft} failure={failure} />
      <Field
        label="SHA-256 or SHA-512"
        hint="As its publisher states it; need not be said."
        wrong={isDigest ? undefined : '64 or 128 hexadecimal digits.'}
      >
        {(ids) => (
          <input
            {...ids}
            type="text"
            class="mono"
            spellcheck={false}
            autocomplete="off"
            value={digest}
            onInput={(event) => setDigest(event.currentTarget.value)}
          />
        )}
      </Field>
      <div class="dialog-acts">
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="main" type="submit">
          {isBusy ? 'Begins…' : 'Import'}
        </Button>
      </div>
    </form>
  );
}

function lastPart(url: string): string {
  const path = url.trim().replace(/[?#].*$/s, '');
  return path.slice(path.lastIndexOf('/') + 1);
}

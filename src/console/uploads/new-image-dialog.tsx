import { useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { Choice } from '../parts/choice.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { FileImage } from './file-image.tsx';
import { ImportedImage } from './imported-image.tsx';
import { newImageAsked } from './new-image-order.ts';
import { whyReadOnly } from '../service/session.ts';

/** Asks what a new image is to be, and has it come. */
export function NewImageDialog() {
  const asked = newImageAsked.value;
  return asked === undefined ? null : <NewImage key={asked.given?.file.name} />;
}

function NewImage() {
  const given = newImageAsked.value?.given;
  const [from, setFrom] = useState<'file' | 'address'>('file');
  const close = (): void => {
    newImageAsked.value = undefined;
  };
  const whyNot = whyReadOnly();
  return (
    <Dialog title="New image" onClose={close}>
      {whyNot === undefined ? (
        <>
          <Choice
            label="Where its bytes come from"
            chosen={from}
            options={[
              ['file', 'From a file'],
              ['address', 'From an address'],
            ]}
            onChoose={(chosen) => setFrom(chosen as typeof from)}
          />
          {from === 'file' ? (
            <FileImage given={given} onClose={close} />
          ) : (
            <ImportedImage onClose={close} />
          )}
        </>
      ) : (
        <>
          <p>{whyNot}</p>
          <div class="dialog-acts">
            <Button onClick={close}>Close</Button>
          </div>
        </>
      )}
    </Dialog>
  );
}

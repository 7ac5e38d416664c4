import { useRef } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { givenByPicker, type GivenFile } from './new-image-order.ts';

/** Whether the browser gives handles, which lead to a file after a reload, too. */
const hasPicker = 'showOpenFilePicker' in window;

/** Has the reader choose a file. */
export function FileChooser({
  text,
  kind = 'plain',
  onFile,
}: {
  readonly text: string;
  readonly kind?: 'plain' | 'main';
  readonly onFile: (given: GivenFile) => void;
}) {
  const input = useRef<HTMLInputElement>(null);
  const choose = async (): Promise<void> => {
    if (!hasPicker) {
      input.current?.click();
      return;
    }
    const given = await givenByPicker();
    if (given !== undefined) {
      onFile(given);
    }
  };
  return (
    <>
      <Button kind={kind} onClick={() => void choose()}>
        {text}
      </Button>
      <input
        ref={input}
        type="file"
        class="hidden-input"
        tabIndex={-1}
        aria-hidden="true"
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = '';
          if (file !== undefined) {
            onFile({ file });
          }
        }}
      />
    </>
  );
}

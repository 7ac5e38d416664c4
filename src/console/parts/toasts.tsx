import { signal } from '@preact/signals';
import { failureOf } from '../service/failure.ts';
import { learnFrom } from '../service/service.ts';
import { Button } from './button.tsx';

/** Something that was done, or was not, told for a while. */
interface Toast {
  readonly id: number;
  readonly text: string;
  readonly isBad: boolean;
  readonly act?: { readonly text: string; readonly run: () => void } | undefined;
}

const shown = signal<readonly Toast[]>([]);
let lastId = 0;

/** How long a toast stays, in ms: one that can be acted on stays longer. */
const stayMs = { plain: 5000, acting: 12_000 };

/** Tells of something that was done. @param act what can still be done about it, such as to undo it. */
export function tell(text: string, act?: Toast['act'], isBad = false): void {
  const id = (lastId += 1);
  shown.value = [...shown.value.slice(-3), { id, text, isBad, act }];
  setTimeout(() => drop(id), act === undefined && !isBad ? stayMs.plain : stayMs.acting);
}

/** Tells that something did not work. */
export function tellFailure(error: unknown): void {
  learnFrom(error);
  tell(failureOf(error).message, undefined, true);
}

function drop(id: number): void {
  shown.value = shown.value.filter((toast) => toast.id !== id);
}

/** Where toasts are shown. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.value.map(({ id, text, isBad, act }) => (
        <div key={id} class={isBad ? 'toast toast-bad' : 'toast'}>
          <span>{text}</span>
          {act !== undefined && (
            <Button
              kind="bare"
              onClick={() => {
                drop(id);
                act.run();
              }}
            >
              {act.text}
            </Button>
          )}
        </div>
      ))}
    </div>
  );
}

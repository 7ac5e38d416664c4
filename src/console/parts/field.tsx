import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

/** What a field tells its input: which label is its own, and what more there is to read. */
export interface FieldIds {
  readonly id: string;
  readonly 'aria-describedby'?: string;
  readonly 'aria-invalid'?: true;
}

/** A labelled field, with a hint or what is wrong with it below. */
export function Field({
  label,
  hint,
  wrong,
  children,
}: {
  readonly label: string;
  readonly hint?: string | undefined;
  readonly wrong?: string | undefined;
  readonly children: (ids: FieldIds) => ComponentChildren;
}) {
  const id = useId();
  const note = wrong ?? hint;
  return (
    <div class={wrong === undefined ? 'field' : 'field field-wrong'}>
      <label for={id}>{label}</label>
      {children({
        id,
        ...(note === undefined ? {} : { 'aria-describedby': `${id}-note` }),
        ...(wrong === undefined ? {} : { 'aria-invalid': true as const }),
      })}
      {note !== undefined && (
        <p id={`${id}-note`} class="field-note">
          {note}
        </p>
      )}
    </div>
  );
}

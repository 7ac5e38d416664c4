import type { Tone } from '../words/image-words.ts';

/** A state as a dot and a word: never by its colour alone. */
export function StateMark({ word, tone }: { readonly word: string; readonly tone: Tone }) {
  return (
    <span class={`mark mark-${tone}`}>
      <span class="mark-dot" aria-hidden="true" />
      {word}
    </span>
  );
}

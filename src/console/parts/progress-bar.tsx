import { percentText } from '../words/amounts.ts';

/** How far something is. Without a share it is under way, and nobody knows how far. */
export function ProgressBar({
  share,
  label,
  isStill = false,
}: {
  readonly share: number | undefined;
  readonly label: string;
  /** Whether nothing moves just now. */
  readonly isStill?: boolean;
}) {
  const kind = share === undefined ? 'bar bar-unknown' : 'bar';
  return (
    <span
      class={isStill ? `${kind} bar-still` : kind}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      {...(share === undefined
        ? { 'aria-valuetext': 'under way' }
        : { 'aria-valuenow': Math.floor(share * 100), 'aria-valuetext': percentText(share) })}
    >
      <span class="bar-done" style={{ transform: `scaleX(${share ?? 1})` }} />
    </span>
  );
}

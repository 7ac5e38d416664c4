import type { Random } from './random.ts';
import type { Upload } from './upload.ts';

/** What one attempt to upload comes to, if nothing else comes first. */
export interface Mood {
  readonly kind:
    | 'whole'
    /** Ends the stream well, without a finish. */
    | 'half-close'
    /** Cuts the connection. */
    | 'cut'
    /** Resets the stream. */
    | 'reset'
    /** Leaves the stream open without sending, and goes on elsewhere. */
    | 'hang'
    /** Sends bytes that do not match their checksum. */
    | 'garble'
    /** Leaves bytes out. */
    | 'skip'
    /** Sends other bytes where some are stored. */
    | 'lie'
    /** Says that it is done when it is not. */
    | 'finish early'
    /** Cancels the task, to retry it. */
    | 'cancel';
  /** From which byte on. */
  readonly at: number;
}

/** Attempts after which a client has no more ideas, so that every upload comes to its end. */
const maxIdeas = 4;

/** Draws how an attempt from `from` on behaves. */
export function drawMood(
  random: Random,
  upload: Upload,
  options: { readonly from: number; readonly attempt: number; readonly isRival: boolean },
): Mood {
  const { from, attempt, isRival } = options;
  const { size, plan } = upload;
  const whole: Mood = { kind: 'whole', at: size };
  if (from >= size || attempt > maxIdeas) {
    return whole;
  }
  const at = random.int(from, size - 1);
  const kind = random.weighted<Mood['kind']>([
    [12, 'whole'],
    [2, 'half-close'],
    [3, 'cut'],
    [2, 'reset'],
    [3, 'hang'],
  ]);
  // What depends on the service's exact position is tried only where nobody else can have moved it.
  if (isRival || plan.hasRival || upload.finishSent || !random.chance(0.35)) {
    return { kind, at: kind === 'whole' ? size : at };
  }
  const misdeed = random.pick<Mood['kind']>(['garble', 'skip', 'lie', 'finish early', 'cancel']);
  return { kind: misdeed, at };
}

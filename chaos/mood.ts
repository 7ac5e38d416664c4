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
    /** Leaves out bytes that are acknowledged, which it may, and goes on to the end. */
    | 'jump'
    /** Leaves out bytes that the service does not have. */
    | 'skip'
    /** Sends other bytes where some are stored. */
    | 'lie'
    /** Says that it is done when it is not. */
    | 'finish early'
    /** Cancels the task, to retry it. */
    | 'cancel';
  /** From which byte on. */
  readonly at: number;
  /** Where a jump ends. */
  readonly to?: number;
}

/** Attempts after which a client has no more ideas, so that every upload comes to its end. */
const maxIdeas = 4;

/** Draws how an attempt from `from` on behaves, where the service said that it is to go on, or a guess is. */
export function drawMood(
  random: Random,
  upload: Upload,
  options: {
    readonly from: number;
    readonly isExact: boolean;
    readonly attempt: number;
    readonly isRival: boolean;
  },
): Mood {
  const { from, isExact, attempt, isRival } = options;
  const { size, plan } = upload;
  const whole: Mood = { kind: 'whole', at: size };
  if (from >= size || attempt > maxIdeas) {
    return whole;
  }
  const acknowledged = upload.acknowledgements.floor;
  if (from < acknowledged && random.chance(0.4)) {
    const at = random.int(from, acknowledged);
    return { kind: 'jump', at, to: random.int(at, acknowledged) };
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
  const misdeed = random.pick<Mood['kind']>([
    'garble',
    'lie',
    'finish early',
    'cancel',
    // After a guess the service may have more than the client knows of: then it is a jump.
    ...(isExact ? (['skip'] as const) : []),
  ]);
  return { kind: misdeed, at };
}

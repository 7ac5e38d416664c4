/** What was looked at, and how it stands. */
export interface Finding {
  /** A word or two: `database`. */
  readonly what: string;
  readonly standing: 'well' | 'doubtful' | 'broken';
  /** What was found. */
  readonly found: string;
  /** What to do; there unless it is well. */
  readonly remedy?: string;
}

/** It is as it should be. */
export function well(what: string, found: string): Finding {
  return { what, standing: 'well', found };
}

/** It works, and may not for long or not as wanted. */
export function doubtful(what: string, found: string, remedy: string): Finding {
  return { what, standing: 'doubtful', found, remedy };
}

/** It does not work. */
export function broken(what: string, found: string, remedy: string): Finding {
  return { what, standing: 'broken', found, remedy };
}

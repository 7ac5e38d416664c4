/** What came back for a case. */
export interface Answer {
  /** What was sent, in a few words. */
  readonly what: string;
  /** The gRPC code's number, or `http <status>`; `closed` where the connection was closed without one; `none` after a timeout. */
  readonly outcome: string;
  /** The beginning of what was told. */
  readonly text: string;
}

/** gRPC's UNKNOWN and INTERNAL, as numbers and as Connect says them, and what HTTP says of a server's own fault. */
const defects = new Set(['2', '13', 'unknown', 'internal', 'http 500', 'none']);

/** Whether an answer is a defect of the service: it did not know what went wrong, or did not answer at all. */
export function isDefect({ outcome }: Answer): boolean {
  return defects.has(outcome);
}

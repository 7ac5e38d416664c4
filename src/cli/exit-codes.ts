/** With what the program ends, for scripts; docs/cli.md lists them. */
export const exitCodes = {
  done: 0,
  /** Anything that has no code of its own. */
  failed: 1,
  /** Arguments, settings or a profile that make no sense. */
  usage: 2,
  /** There is no such image or task, or more than one is meant. */
  notFound: 3,
  /** The service does not know the caller, or the caller may not do that. */
  notAllowed: 4,
  /** The service has refused it: a state, a quota, an etag, a value. */
  refused: 5,
  /** The service cannot be reached, or cannot serve just now. */
  unreachable: 6,
  /** The task that was waited for has failed: its image will not come by it. */
  taskFailed: 7,
  /** The task that was waited for was cancelled. */
  taskCancelled: 8,
  /** What was waited for did not come in the time that was given. */
  timedOut: 9,
  /** Whoever read the output has gone, as with `head`. */
  outputClosed: 141,
  /** By Ctrl-C, or SIGTERM. */
  interrupted: 130,
  terminated: 143,
} as const;

/** One of them. */
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

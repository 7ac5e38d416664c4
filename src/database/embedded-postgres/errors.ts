/** Why the embedded PostgreSQL is not available; stable, for programs. */
export type EmbeddedPostgresErrorReason =
  /** There are no binaries for this system, or the system cannot execute them. */
  | 'PLATFORM_UNSUPPORTED'
  /** Started as root, and no unprivileged user could be used, or it cannot reach the binaries. */
  | 'ACCOUNT_UNUSABLE'
  /** The cluster on disk was made by another major version of PostgreSQL. */
  | 'VERSION_MISMATCH'
  /** The cluster on disk belongs to another user, or lacks a file it cannot do without. */
  | 'CLUSTER_UNUSABLE'
  /** `initdb` failed. */
  | 'INIT_FAILED'
  /** PostgreSQL did not come up, or not in time. */
  | 'START_FAILED';

/** The embedded PostgreSQL is not available. The message is for the operator: what, and what to do. */
export class EmbeddedPostgresError extends Error {
  override readonly name = 'EmbeddedPostgresError';
  readonly reason: EmbeddedPostgresErrorReason;
  /** Whether it may go well another time: the server, or `initdb`, may have been killed, or the disk full. */
  readonly mayPass: boolean;

  /** @param options `mayPass`: of a START_FAILED it is true if not set, of all others false. */
  constructor(
    reason: EmbeddedPostgresErrorReason,
    message: string,
    options?: ErrorOptions & { readonly mayPass?: boolean },
  ) {
    super(message, options);
    this.reason = reason;
    this.mayPass = options?.mayPass ?? reason === 'START_FAILED';
  }
}

/** Whether `error` is a Node system error with one of these codes, such as `ENOENT`. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

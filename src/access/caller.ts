/**
 * What a caller is for, in its project. What each role may call is in policy.ts; on whose records, in rights.ts.
 *
 * - `reader` reads images and tasks.
 * - `member` changes them, too.
 * - `admin` operates the service: a member who also sees the causes of faults, and what concerns the service as a whole.
 * - `service` is a compute service, which acts as a member of whichever project it names with a call.
 */
export const roles = ['reader', 'member', 'admin', 'service'] as const;

/** One of `roles`. */
export type Role = (typeof roles)[number];

/** Who makes a call. Every handler and every query is given one. What it may do is in policy.ts and rights.ts. */
export interface Caller {
  /** The project whose images and tasks the caller sees. */
  readonly projectId: string;
  readonly userId: string;
  readonly role: Role;
  /** Whether it may go on in any other project; for admins alone, where the service is told so. */
  readonly actsAnywhere?: boolean;
}

/** What is known of who makes a call, as far as it is: also of who may not make it. */
export type KnownCaller = Pick<Caller, 'userId'> & {
  readonly projectId: string | undefined;
  readonly role: Role | undefined;
};

/** The identity of every caller while the service is told of no identity provider. */
export const defaultCaller: Caller = { projectId: 'default', userId: 'default', role: 'admin' };

/** The service itself, when it does in a project what otherwise a caller asks for, such as deleting an image. */
export function serviceCaller(projectId: string): Caller {
  return { projectId, userId: 'darkroom', role: 'admin' };
}

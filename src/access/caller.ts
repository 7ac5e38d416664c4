/** Who makes a call. Every handler and every query is given one. What it may do is in rights.ts. */
export interface Caller {
  /** The project whose images and tasks the caller sees. */
  readonly projectId: string;
  readonly userId: string;
  /** Operators also see the underlying causes of faults. */
  readonly role: 'member' | 'operator';
}

/** The identity of every caller while the service has no authentication. */
export const defaultCaller: Caller = { projectId: 'default', userId: 'default', role: 'operator' };

/** The service itself, when it does in a project what otherwise a caller asks for, such as deleting an image. */
export function serviceCaller(projectId: string): Caller {
  return { projectId, userId: 'darkroom', role: 'operator' };
}

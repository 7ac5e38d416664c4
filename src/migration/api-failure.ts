import { STATUS_CODES } from 'node:http';

/** The two services, by the names that people know. */
export type Side = 'Glance' | 'Darkroom' | 'Keystone';

/** Conflicts that are over when the upload is gone on with where it is by then. */
const passingConflicts = new Set(['OFFSET_MISMATCH', 'WRITER_ACTIVE', 'WRITER_FENCED']);

/** An answer that is none of success. */
export class ApiFailure extends Error {
  override readonly name = 'ApiFailure';
  readonly side: Side;
  readonly status: number;
  /** Darkroom's own, such as FORMAT_MISMATCH. */
  readonly reason: string | undefined;

  constructor(side: Side, status: number, body: unknown) {
    const { message, reason } = faultIn(body);
    super(`${side} answers ${status} (${message ?? STATUS_CODES[status] ?? 'unknown'})`);
    this.side = side;
    this.status = status;
    this.reason = reason;
  }

  /** Whether the same may go well when it is done again. */
  get isPassing(): boolean {
    return (
      this.status >= 500 ||
      this.status === 401 ||
      this.status === 408 ||
      this.status === 429 ||
      (this.status === 409 && passingConflicts.has(this.reason ?? ''))
    );
  }
}

/** What Glance has sent is not what it says of the image. */
export class SourceDiffersError extends Error {
  override readonly name = 'SourceDiffersError';
}

/** Whether what was thrown may go well when it is done again: what the network does, and what services say of themselves. */
export function isPassing(error: unknown): boolean {
  if (error instanceof ApiFailure) {
    return error.isPassing;
  }
  return error instanceof Error && 'code' in error && typeof error.code === 'string';
}

/** As Glance's API and Keystone's tell an error. */
function faultIn(body: unknown): { message?: string; reason?: string } {
  const told = memberOf(body, 'error') ?? body;
  const [message, reason] = [memberOf(told, 'message'), memberOf(told, 'reason')];
  return {
    ...(typeof message === 'string' && {
      message: message
        .replaceAll(/<[^>]*>/g, ' ')
        .replaceAll(/\s+/g, ' ')
        .trim()
        .slice(0, 1000),
    }),
    ...(typeof reason === 'string' && { reason }),
  };
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

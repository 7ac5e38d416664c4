/**
 * What callers ask of tasks, as they sent it: nothing is checked yet. Numbers may be out of range or
 * NaN, dates invalid, and words any text.
 */

/** What ReportProgress is asked. */
export interface ReportProgressRequest {
  readonly taskId: string;
  /** Empty leaves what was said before. */
  readonly message: string;
  readonly bytesDone: number | undefined;
  readonly bytesTotal: number | undefined;
}

/** What ReportFault is asked. */
export interface ReportFaultRequest {
  readonly taskId: string;
  /** A google.rpc.Code. */
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly detail: string;
  readonly fatal: boolean;
}

/** What CancelTask is asked. */
export interface CancelTaskRequest {
  readonly taskId: string;
  /** Empty for none. */
  readonly reason: string;
}

/** What RetryTask is asked. */
export interface RetryTaskRequest {
  readonly taskId: string;
  /** Empty for none. */
  readonly requestId: string;
}

import type { DescMethod } from '@bufbuild/protobuf';
import type { ConnectError } from '@connectrpc/connect';

/** What a call is about, as far as it is known. */
export interface CallSubject {
  readonly imageId?: string;
  readonly taskId?: string;
}

/** How a call ended, as the log tells it. */
export interface CallOutcome {
  /** The RPC that was called; undefined for other requests and for unknown methods. */
  method?: DescMethod;
  /** The error that the caller was answered with. */
  failure?: ConnectError;
  /** Whether the line is written: what fails after it must be logged by itself. */
  isLogged?: boolean;
  /** What the call is about, for the audit log. */
  subject?: CallSubject;
  /** Whether the audit log has it already. */
  isAudited?: boolean;
}

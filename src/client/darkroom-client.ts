import { createClient, type Client, type Transport } from '@connectrpc/connect';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { QuotaService } from '../../gen/darkroom/v1/quota_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { CallHeaders, type Credential } from './credentials.ts';
import { defaultRetryPolicy, Pauses, type RetryPolicy } from './retry-policy.ts';
import { SurvivingTransport } from './surviving-transport.ts';

/** What every client is made with, on whatever platform. */
export interface ClientOptions {
  /** Who calls; nobody in particular if not set. */
  readonly credential?: Credential;
  /** For callers with the role `service`, and admins: the project that is acted for. */
  readonly project?: string;
  /** More headers of each call, such as `x-request-id`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How often and how long things are tried again; what is not set is as in `defaultRetryPolicy`. */
  readonly retry?: Partial<RetryPolicy>;
  /** How long each try of a unary call may take, in ms; 30,000 if not set. */
  readonly callTimeoutMs?: number;
}

/** A client of one Darkroom. Its methods throw DarkroomErrors. */
export interface DarkroomClient {
  /** Every call of ImageService, as the contract has it. Unary calls are tried again where that is safe. */
  readonly images: Client<typeof ImageService>;
  /** Every call of TaskService. */
  readonly tasks: Client<typeof TaskService>;
  /** Every call of QuotaService. */
  readonly quotas: Client<typeof QuotaService>;
  /** Ends all pauses between tries: what waits tries again now, as when a network has come back. */
  retryNow(): void;
  /** Ends the connections, and what is under way on them. */
  close(): void;
}

const defaultCallTimeoutMs = 30_000;

/** The client over a transport of Connect. */
export function clientOver(
  transport: Transport,
  options: ClientOptions,
  closeTransport: () => void = () => undefined,
): DarkroomClient {
  const pauses = new Pauses();
  const surviving = new SurvivingTransport(
    transport,
    new CallHeaders(options.credential, options.project, options.headers),
    { ...defaultRetryPolicy, ...options.retry },
    pauses,
    options.callTimeoutMs ?? defaultCallTimeoutMs,
  );
  return {
    images: createClient(ImageService, surviving),
    tasks: createClient(TaskService, surviving),
    quotas: createClient(QuotaService, surviving),
    retryNow: () => pauses.endAll(),
    close: () => {
      pauses.close();
      closeTransport();
    },
  };
}

import {
  createGrpcTransport,
  createGrpcWebTransport,
  createConnectTransport,
} from '@connectrpc/connect-node';
import type {
  ConnectRouter,
  HandlerContext,
  Interceptor,
  ServiceImpl,
  Transport,
} from '@connectrpc/connect';
import type { LookupFunction } from 'node:net';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import type { Application } from '../../src/server/application.ts';
import type { HealthSource } from '../../src/server/health/health-source.ts';
import { accessLog } from '../../src/server/transport/access-log.ts';
import { roles } from '../../src/access/caller.ts';
import { openGate, type Gate } from '../../src/server/gate.ts';
import { policyWith, type AccessPolicy } from '../../src/access/policy.ts';
import { startServer, type Server, type ServerOptions } from '../../src/server/server.ts';

/** A line of the log, parsed. */
export type LogLine = Record<string, unknown>;

/** A running server with services made for the test. */
export interface FakeServer extends Server {
  readonly log: LogLine[];
  /** The access log's line of a finished call, once it is there. */
  accessLine(method: string): LogLine | undefined;
}

export interface FakeServerOptions {
  readonly images?: Partial<ServiceImpl<typeof ImageService>>;
  readonly tasks?: Partial<ServiceImpl<typeof TaskService>>;
  readonly health?: HealthSource;
  readonly settings?: Partial<ServerOptions['settings']>;
  readonly tls?: ServerOptions['tls'];
  readonly httpRoutes?: Application['httpRoutes'];
  /** The open one if not set. */
  readonly gate?: Gate;
}

/** Places of plain HTTP that only tests have are for all who are known. */
function policyOf({ httpRoutes: routes = [], settings }: FakeServerOptions): AccessPolicy {
  const rules = routes.map(({ method, path }) => [
    `${method} ${path}`,
    { who: roles, on: 'things of a test' },
  ]);
  return {
    ...Object.fromEntries(rules),
    ...policyWith(settings?.reflection ?? 'callers'),
  } as AccessPolicy;
}

/** Limits of connections that no test reaches which is not about them. */
export const roomyLimits = {
  maxConnections: 1000,
  maxConnectionsPerPeer: 1000,
  headTimeoutMs: 10_000,
  idleTimeoutMs: 75_000,
  maxGivenUpCalls: 512,
  maxGivenUpCallsPerSecond: 100,
  floodPauseMs: 0,
  maxStreamWindowBytes: 64 * 1024 * 1024,
  maxUnreadBytes: 256 * 1024 * 1024,
  maxOpenRequests: 10_000,
  maxOpenRequestsPerPeer: 10_000,
  maxConcurrentStreams: 256,
  maxHeaderBytes: 64 * 1024,
  maxHeaders: 128,
  maxUnsentBytes: 256 * 1024 * 1024,
  maxPingsPerSecond: 100,
  maxSettingsPerSecond: 50,
};

/** Always serving. */
export const healthy: HealthSource = {
  status: () => 'SERVING',
  reason: () => undefined,
  onChange: () => () => {},
};

/** Starts a server on a free port, and closes it when the test is finished. */
export async function startFakeServer(options: FakeServerOptions = {}): Promise<FakeServer> {
  const server = await serveFakes(options);
  onTestFinished(() => server.close());
  return server;
}

/** Starts a server on a free port, which the caller closes: for programs that are not tests themselves. */
export async function serveFakes(options: FakeServerOptions): Promise<FakeServer> {
  const log: LogLine[] = [];
  const server = await startServer({
    settings: {
      host: '127.0.0.1',
      port: 0,
      hosts: [],
      corsOrigins: [],
      reflection: 'callers',
      keystoneUrl: undefined,
      keystonePublicUrl: undefined,
      ...roomyLimits,
      maxChunkBytes: 256 * 1024,
      maxMessageBytes: 128 * 1024,
      streamIdleTimeoutMs: 60_000,
      minUploadRate: 0,
      drainTimeoutMs: 0,
      tlsClientAuth: undefined,
      tlsHandshakesPerPeer: 1000,
      tlsHandshakeShare: 100,
      ...options.settings,
    },
    logger: pino(
      { level: 'debug' },
      { write: (line: string) => log.push(JSON.parse(line) as LogLine) },
    ),
    health: options.health ?? healthy,
    tls: options.tls,
    observers: [accessLog],
    gate: options.gate ?? openGate,
    policy: policyOf(options),
    services: [ImageService, TaskService],
  });
  server.serve({
    routes(router: ConnectRouter) {
      router.service(ImageService, options.images ?? {});
      router.service(TaskService, options.tasks ?? {});
    },
    ...(options.httpRoutes && { httpRoutes: options.httpRoutes }),
  });
  return {
    ...server,
    log,
    accessLine: (method) => log.find((line) => line['method'] === method && 'durationMs' in line),
  };
}

/** Every way in which a client can call: gRPC is spoken over HTTP/2 only. */
export const transports = [
  { protocol: 'grpc', httpVersion: '2' },
  { protocol: 'grpc-web', httpVersion: '1.1' },
  { protocol: 'grpc-web', httpVersion: '2' },
  { protocol: 'connect', httpVersion: '1.1' },
  { protocol: 'connect', httpVersion: '2' },
] as const;

export type TransportKind = (typeof transports)[number];

/** A client's transport; the header of each answer is given to `onHeader`, and `headers` go with each request. */
export function transportOf(
  url: string,
  { protocol, httpVersion }: TransportKind,
  onHeader: (header: Headers) => void = () => {},
  headers: Readonly<Record<string, string>> = {},
): Transport {
  const listening: Interceptor = (next) => async (request) => {
    for (const [name, value] of Object.entries(headers)) {
      request.header.set(name, value);
    }
    const response = await next(request);
    onHeader(response.header);
    return response;
  };
  // Whatever the name in the URL, it is this machine.
  const nodeOptions = { lookup: toLoopback };
  const options = { baseUrl: url, interceptors: [listening], nodeOptions };
  switch (protocol) {
    case 'grpc':
      return createGrpcTransport(options);
    case 'grpc-web':
      return createGrpcWebTransport({ ...options, httpVersion });
    case 'connect':
      return createConnectTransport({ ...options, httpVersion });
  }
}

const toLoopback: LookupFunction = (_, { all }, callback) => {
  if (all === true) {
    callback(null, [{ address: '127.0.0.1', family: 4 }]);
  } else {
    callback(null, '127.0.0.1', 4);
  }
};

/** Waits for a call's end on the server's side. */
export function untilAborted(context: HandlerContext): Promise<void> {
  return new Promise((resolve) => {
    if (context.signal.aborted) {
      resolve();
    } else {
      context.signal.addEventListener('abort', () => resolve(), { once: true });
    }
  });
}

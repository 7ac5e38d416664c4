import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient, type Client, type Interceptor, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { onTestFinished } from 'vitest';
import {
  ImageService,
  type UploadImageRequestSchema,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { stopLeftovers } from '../../src/database/embedded-postgres/postmaster.ts';
import { makeDataDir, startServiceProcess, type ServiceProcess } from './service-process.ts';
import { createTestDatabase } from './test-database.ts';
import type { Account } from './unprivileged.ts';

/**
 * A service on a database and a folder of its own, both of which survive its restarts.
 *
 * @typeParam Url undefined where the service runs an embedded PostgreSQL.
 */
export interface RunningService<Url extends string | undefined = string> {
  readonly process: ServiceProcess;
  readonly dataDir: string;
  readonly databaseUrl: Url;
  readonly images: Client<typeof ImageService>;
  readonly tasks: Client<typeof TaskService>;
  /** Starts one more process on the same database and folder. */
  another(env?: Readonly<Record<string, string>>): Promise<RunningService<Url>>;
}

/** Starts a service that ends, with all it leaves, when the running test or its `defer` says so. */
export async function startService(
  env: Readonly<Record<string, string>> = {},
  defer: (cleanUp: () => Promise<void>) => void = onTestFinished,
  medium: 'memory' | 'disk' = 'memory',
): Promise<RunningService> {
  const database = await createTestDatabase();
  const dataDir = await makeDataDir(medium);
  defer(async () => {
    await dataDir.remove();
    await database.drop();
  });
  return startOn({ dataDir: dataDir.path, databaseUrl: database.url }, env, defer);
}

/** The same with an embedded PostgreSQL, which ends with it. */
export async function startEmbeddedService(
  env: Readonly<Record<string, string>> = {},
  defer: (cleanUp: () => Promise<void>) => void = onTestFinished,
  account?: Account,
): Promise<RunningService<undefined>> {
  const dataDir = await makeDataDir();
  if (account) {
    await chown(dataDir.path, account.uid, account.gid);
  }
  defer(async () => {
    // A killed service leaves its PostgreSQL to its successor.
    await stopLeftovers(join(dataDir.path, 'postgres', 'cluster'));
    await dataDir.remove();
  });
  const place = { dataDir: dataDir.path, databaseUrl: undefined, ...(account && { account }) };
  return startOn(place, env, defer);
}

async function startOn<Url extends string | undefined>(
  place: { readonly dataDir: string; readonly databaseUrl: Url; readonly account?: Account },
  env: Readonly<Record<string, string>>,
  defer: (cleanUp: () => Promise<void>) => void,
): Promise<RunningService<Url>> {
  const process = await startServiceProcess({ ...place, env });
  defer(async () => void (await process.kill('SIGKILL')));
  return {
    ...place,
    process,
    ...connectTo(process.url),
    another: (more = {}) => startOn(place, { ...env, ...more }, defer),
  };
}

/** Clients of a service over gRPC, which send `headers` with each call. */
export function connectTo(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Pick<RunningService, 'images' | 'tasks'> {
  const transport = createGrpcTransport({ baseUrl: url, interceptors: [sending(headers)] });
  return {
    images: createClient(ImageService, transport),
    tasks: createClient(TaskService, transport),
  };
}

/** Has headers sent with each call. */
export function sending(headers: Readonly<Record<string, string>>): Interceptor {
  return (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) {
      request.header.set(name, value);
    }
    return next(request);
  };
}

/** Every way in which connect-node can call the service. */
export function everyTransport(
  baseUrl: string,
  createGrpcWebTransport: (options: { baseUrl: string; httpVersion: '1.1' | '2' }) => Transport,
): readonly (readonly [name: string, transport: Transport])[] {
  return [
    ['gRPC over HTTP/2', createGrpcTransport({ baseUrl })],
    ['gRPC-Web over HTTP/2', createGrpcWebTransport({ baseUrl, httpVersion: '2' })],
    ['gRPC-Web over HTTP/1.1', createGrpcWebTransport({ baseUrl, httpVersion: '1.1' })],
    ['Connect over HTTP/2', createConnectTransport({ baseUrl, httpVersion: '2' })],
    ['Connect over HTTP/1.1', createConnectTransport({ baseUrl, httpVersion: '1.1' })],
  ];
}

type Frame = MessageInitShape<typeof UploadImageRequestSchema>;

/** The frames of an upload of `bytes` from `offset` on; without a finish if `until` is given. */
export async function* uploadFrames(
  bytes: Uint8Array,
  options: {
    readonly taskId: string;
    readonly offset?: number;
    readonly until?: number;
    readonly writerEpoch?: bigint;
    readonly sha256?: string;
    readonly chunkBytes?: number;
  },
): AsyncGenerator<Frame, void> {
  const { taskId, writerEpoch, sha256, until, chunkBytes = 1024 * 1024 } = options;
  yield { frame: { case: 'header', value: { taskId, ...(writerEpoch && { writerEpoch }) } } };
  const end = until ?? bytes.length;
  for (let offset = options.offset ?? 0; offset < end; offset += chunkBytes) {
    // The writer of a client need not wait: a turn of the event loop lets others run.
    await Promise.resolve();
    const data = bytes.subarray(offset, Math.min(end, offset + chunkBytes));
    yield { frame: { case: 'chunk', value: { offset: BigInt(offset), data } } };
  }
  if (until === undefined) {
    const totalSize = BigInt(bytes.length);
    yield { frame: { case: 'finish', value: { totalSize, ...(sha256 && { sha256 }) } } };
  }
}

/** Downloads an image whole; fails without a trailer. */
export async function downloadBytes(
  images: Client<typeof ImageService>,
  imageId: string,
  range: { offset?: bigint; length?: bigint } = {},
): Promise<{ readonly bytes: Buffer; readonly sha256: string; readonly holes: number }> {
  const parts: Buffer[] = [];
  let holes = 0;
  for await (const { part } of images.downloadImage({ imageId, ...range })) {
    if (part.case === 'chunk') {
      parts.push(Buffer.from(part.value.data));
    } else if (part.case === 'hole') {
      parts.push(Buffer.alloc(Number(part.value.length)));
      holes += 1;
    } else if (part.case === 'trailer') {
      return { bytes: Buffer.concat(parts), sha256: part.value.sha256, holes };
    }
  }
  throw new Error('the download ended without its trailer');
}

import { randomFillSync, randomUUID } from 'node:crypto';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import {
  CreateImageRequestSchema,
  CreateImageResponseSchema,
  GetImageRequestSchema,
  UploadImageResponseSchema,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import pg from 'pg';
import { answerCommands } from '../stage/script.ts';
import { GrpcConnection } from '../wire/grpc-connection.ts';
import { chunkHead, finishFrame, headerFrame } from '../wire/upload-frames.ts';

/** What callers repeat, each as fast as it is answered. */
export type CallKind =
  /** CreateImage. */
  | 'create'
  /** GetImage of one of `imageIds`. */
  | 'get'
  /** CreateImage, UploadImage of 64 KiB, until the image is ACTIVE. */
  | 'small-image'
  /** A row inserted and returned in a transaction, without the service. */
  | 'insert'
  /** A row read by its key, without the service. */
  | 'select';

/** What is to be called. */
export interface CallOrder {
  readonly kind: CallKind;
  /** Of the service; of PostgreSQL for `insert` and `select`. */
  readonly url: string;
  /** At the same time, each over a connection of its own. */
  readonly callers: number;
  readonly seconds: number;
  /** For `get`. */
  readonly imageIds: readonly string[];
}

/** How it went. */
export interface CallResult {
  readonly calls: number;
  readonly seconds: number;
  /** How long each call took, in ms. */
  readonly durations: Float64Array;
}

/** What the script can be asked. */
export interface CallLoad {
  call(order: CallOrder): Promise<CallResult>;
}

/** A caller with its connection. */
interface Caller {
  call(): Promise<unknown>;
  close(): Promise<void> | void;
}

const service = 'darkroom.v1.ImageService';
const smallBytes = 64 * 1024;
const smallImage = randomFillSync(Buffer.alloc(smallBytes));

const callers: Readonly<Record<CallKind, (order: CallOrder) => Promise<Caller>>> = {
  create: async ({ url }) => {
    const connection = await GrpcConnection.open(url);
    return {
      call: () => connection.unary(`${service}/CreateImage`, createRequest()),
      close: () => connection.close(),
    };
  },
  get: async ({ url, imageIds }) => {
    const connection = await GrpcConnection.open(url);
    const requests = imageIds.map((imageId) =>
      toBinary(GetImageRequestSchema, create(GetImageRequestSchema, { imageId })),
    );
    return {
      call: () => connection.unary(`${service}/GetImage`, anyOf(requests)),
      close: () => connection.close(),
    };
  },
  'small-image': async ({ url }) => {
    const connection = await GrpcConnection.open(url);
    return {
      call: () => uploadSmallImage(connection),
      close: () => connection.close(),
    };
  },
  insert: async ({ url }) => {
    const client = await connectPostgres(url);
    return {
      call: () =>
        client.query({
          name: 'insert',
          text: 'insert into bench_rows (id, body) values ($1, $2) returning *',
          values: [randomUUID(), rowBody],
        }),
      close: () => client.end(),
    };
  },
  select: async ({ url }) => {
    const client = await connectPostgres(url);
    const { rows } = await client.query<{ id: string }>('select id from bench_rows limit 1000');
    const ids = rows.map(({ id }) => id);
    return {
      call: () =>
        client.query({
          name: 'select',
          text: 'select * from bench_rows where id = $1',
          values: [anyOf(ids)],
        }),
      close: () => client.end(),
    };
  },
};

/** About as long as an image's row. */
const rowBody = 'x'.repeat(300);

answerCommands<CallLoad>({
  async call(order) {
    const all = await Promise.all(
      Array.from({ length: order.callers }, () => callers[order.kind](order)),
    );
    const durations: number[] = [];
    const began = performance.now();
    const end = began + order.seconds * 1000;
    await Promise.all(
      all.map(async (caller) => {
        for (let start = performance.now(); start < end;) {
          await caller.call();
          const now = performance.now();
          durations.push(now - start);
          start = now;
        }
      }),
    );
    const seconds = (performance.now() - began) / 1000;
    for (const caller of all) {
      await caller.close();
    }
    return { calls: durations.length, seconds, durations: Float64Array.from(durations) };
  },
});

function createRequest(): Uint8Array {
  return toBinary(
    CreateImageRequestSchema,
    create(CreateImageRequestSchema, {
      image: { name: 'bench', diskFormat: Image_DiskFormat.RAW },
      source: { case: 'upload', value: {} },
    }),
  );
}

async function uploadSmallImage(connection: GrpcConnection): Promise<void> {
  const created = await connection.unary(`${service}/CreateImage`, createRequest());
  const { task } = fromBinary(CreateImageResponseSchema, created);
  const call = connection.call(`${service}/UploadImage`);
  call.stream.end(
    Buffer.concat([
      headerFrame(task?.id ?? ''),
      chunkHead(0, smallBytes),
      smallImage,
      finishFrame(smallBytes),
    ]),
  );
  const { complete } = fromBinary(UploadImageResponseSchema, await call.onlyMessage());
  if (!complete) {
    throw new Error('a small image did not become ACTIVE');
  }
}

async function connectPostgres(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}

function anyOf<T>(values: readonly T[]): T {
  const value = values[Math.floor(Math.random() * values.length)];
  if (value === undefined) {
    throw new Error('there is nothing to choose from');
  }
  return value;
}

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  WatchTaskRequestSchema,
  WatchTaskResponseSchema,
} from '../../gen/darkroom/v1/task_service_pb.ts';
import { monotonicMs } from '../monotonic-time.ts';
import { answerCommands } from '../stage/script.ts';
import { framed, GrpcConnection } from '../wire/grpc-connection.ts';

/** An event as it arrived at one watcher. */
export interface Delivery {
  readonly taskId: string;
  readonly revision: number;
  /** When, by `monotonicMs`. */
  readonly at: number;
}

/** What the script can be asked. */
export interface WatchLoad {
  /** Watches tasks, one more watcher for each id; resolves when each has its first message. */
  watch(order: { readonly url: string; readonly taskIds: readonly string[] }): Promise<void>;
  /** The events that arrived since it was asked last. */
  deliveries(order: null): Promise<readonly Delivery[]>;
  /** How many watchers have ended, which none should. */
  ended(order: null): Promise<number>;
  /** Ends all watchers. */
  close(order: null): Promise<void>;
}

/** Below what the service takes of one connection. */
const watchersOfConnection = 200;

const connections: GrpcConnection[] = [];
let arrived: { readonly message: Buffer; readonly at: number }[] = [];
let endedCount = 0;

answerCommands<WatchLoad>({
  async watch({ url, taskIds }) {
    for (let start = 0; start < taskIds.length; start += watchersOfConnection) {
      const connection = await GrpcConnection.open(url);
      connections.push(connection);
      const some = taskIds.slice(start, start + watchersOfConnection);
      await Promise.all(some.map((taskId) => watch(connection, taskId)));
    }
  },

  deliveries() {
    const messages = arrived;
    arrived = [];
    const deliveries = messages.flatMap(({ message, at }): Delivery[] => {
      const { content } = fromBinary(WatchTaskResponseSchema, message);
      const event = content.case === 'update' ? content.value.event : undefined;
      return event ? [{ taskId: event.taskId, revision: Number(event.revision), at }] : [];
    });
    return Promise.resolve(deliveries);
  },

  ended: () => Promise.resolve(endedCount),

  close() {
    connections.splice(0).forEach((connection) => connection.close());
    arrived = [];
    endedCount = 0;
    return Promise.resolve();
  },
});

/** Resolves with the first message. What comes later is kept as it is, and read when it is asked for. */
async function watch(connection: GrpcConnection, taskId: string): Promise<void> {
  const call = connection.call('darkroom.v1.TaskService/WatchTask');
  const request = create(WatchTaskRequestSchema, { taskId });
  call.stream.end(framed(toBinary(WatchTaskRequestSchema, request)));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let isFirst = true;
  call.onMessages((message) => {
    if (isFirst) {
      isFirst = false;
      resolve();
    } else {
      arrived.push({ message, at: monotonicMs() });
    }
  });
  void call
    .ended()
    .then(() => new Error('the watch ended'))
    .catch((error: unknown) => error)
    .then((reason) => {
      endedCount += 1;
      reject(reason);
    });
  await promise;
}

import { create, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { Compression } from '@connectrpc/connect/protocol';
import {
  WatchTaskResponseSchema,
  WatchTasksResponseSchema,
} from '../../../gen/darkroom/v1/task_service_pb.ts';
import type { Caller } from '../../access/caller.ts';
import type { WatchTaskMessage } from '../../tasks/watching/watch-task.ts';
import type { WatchTasksMessage } from '../../tasks/watching/watch-tasks.ts';
import { envelopeOf, type Envelope } from './envelope.ts';
import { watchTaskResponse, watchTasksResponse } from './messages/watch-message.ts';

/** Puts what a caller is told into its envelope. */
export type Enclose<Message> = (
  message: Message,
  caller: Caller,
  compression: Compression | null,
) => Envelope;

/** Envelopes that are kept for the next watcher who is told the same. They go out within ms of each other. */
const maxShared = 64;

/** What makes two messages the same, besides who is told. */
type Sameness = readonly [object, object];

/** Envelopes for watchers of one task. */
export function watchTaskEnvelopes(): Enclose<WatchTaskMessage> {
  const encloseShared = shared<WatchTaskMessage>(samenessOf, (message, caller) =>
    toBinary(WatchTaskResponseSchema, watchTaskResponse(message, caller)),
  );
  const beat = heartbeats();
  return (message, caller, compression) =>
    message.kind === 'heartbeat'
      ? envelopeOf(beat(message.time, message.resumeToken), compression)
      : encloseShared(message, caller, compression);
}

/** Envelopes for watchers of many tasks. */
export function watchTasksEnvelopes(): Enclose<WatchTasksMessage> {
  return shared<WatchTasksMessage>(
    (message) => {
      switch (message.kind) {
        case 'task':
          return [message.snapshot, message.snapshot];
        case 'progress':
          return [message.task, message.task];
        default:
          return undefined;
      }
    },
    (message, caller) => toBinary(WatchTasksResponseSchema, watchTasksResponse(message, caller)),
  );
}

function samenessOf(message: WatchTaskMessage): Sameness | undefined {
  switch (message.kind) {
    case 'update':
      return [message.record, message.snapshot];
    case 'progress':
      return [message.task, message.task];
    case 'snapshot':
      return message.missedRevisions === 0 ? [message.snapshot, message.snapshot] : undefined;
    case 'heartbeat':
      return undefined;
  }
}

/** Makes one envelope for all who are told the same: of a thousand watchers of a task, one pays for it. */
function shared<Message>(
  sameness: (message: Message) => Sameness | undefined,
  encode: (message: Message, caller: Caller) => Uint8Array,
): Enclose<Message> {
  const kept = new Map<object, { of: object; readonly byReader: Map<string, Envelope> }>();
  return (message, caller, compression) => {
    const make = (): Envelope => envelopeOf([encode(message, caller)], compression);
    const same = sameness(message);
    if (same === undefined) {
      return make();
    }
    const [key, of] = same;
    let entry = kept.get(key);
    if (entry?.of !== of) {
      entry = { of, byReader: new Map() };
      kept.delete(key);
      kept.set(key, entry);
      if (kept.size > maxShared) {
        for (const oldest of kept.keys().take(1)) {
          kept.delete(oldest);
        }
      }
    }
    const reader = `${caller.role} ${compression?.name ?? 'identity'}`;
    let envelope = entry.byReader.get(reader);
    if (envelope === undefined) {
      envelope = make();
      entry.byReader.set(reader, envelope);
    }
    return envelope;
  };
}

/** resume_token is field 1, and a string. */
const resumeTokenTag = (1 << 3) | 2;

/**
 * Heartbeats, as two pieces: the token, and all else, which is made once a ms. Nearly all messages of a service at rest
 * are heartbeats.
 */
function heartbeats(): (time: Date, resumeToken: string) => Uint8Array[] {
  let madeAt = Number.NaN;
  let rest = new Uint8Array();
  return (time, resumeToken) => {
    const now = time.getTime();
    if (now !== madeAt) {
      const value = { time: timestampFromMs(now) };
      const message = create(WatchTaskResponseSchema, { content: { case: 'heartbeat', value } });
      rest = toBinary(WatchTaskResponseSchema, message);
      madeAt = now;
    }
    const token = Buffer.allocUnsafe(2 + resumeToken.length);
    token[0] = resumeTokenTag;
    token[1] = resumeToken.length;
    token.write(resumeToken, 2, 'latin1');
    return [token, rest];
  };
}

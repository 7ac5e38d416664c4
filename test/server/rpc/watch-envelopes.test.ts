import { fromBinary } from '@bufbuild/protobuf';
import { compressionGzip } from '@connectrpc/connect-node';
import { expect, test } from 'vitest';
import { WatchTaskResponseSchema } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { newId, type TaskId } from '../../../src/records/ids.ts';
import { watchTaskResponse } from '../../../src/server/rpc/messages/watch-message.ts';
import { watchTaskEnvelopes } from '../../../src/server/rpc/watch-envelopes.ts';
import { encodeResumeToken } from '../../../src/tasks/watching/resume-token.ts';
import type { WatchTaskMessage } from '../../../src/tasks/watching/watch-task.ts';
import { change, fault, makeTask, member } from '../../tasks/task-fixtures.ts';
import { useWatchProcess, watch } from '../../tasks/watching/watch-fixtures.ts';

const { database, process } = useWatchProcess();
const operator = { ...member, role: 'admin' } as const;

const content = async (envelope: Uint8Array | Promise<Uint8Array>): Promise<Uint8Array> =>
  (await envelope).subarray(5);

/** A snapshot and an update with a fault, as a watch tells them. */
async function toldMessages(): Promise<readonly WatchTaskMessage[]> {
  const { taskId } = await makeTask(database());
  const watching = watch(process(), taskId);
  await watching.until((messages) => messages.length === 1);
  await change(database(), taskId, (entry) => {
    entry.survive({ ...fault, detail: '/secret/path' });
  });
  await watching.until((messages) => messages.length === 2);
  return watching.messages;
}

test('who is told the same is given the same bytes, and they say what they should', async () => {
  const enclose = watchTaskEnvelopes();
  for (const message of await toldMessages()) {
    const envelope = enclose(message, member, null);
    expect(enclose({ ...message }, member, null)).toBe(envelope);
    expect(fromBinary(WatchTaskResponseSchema, await content(envelope))).toEqual(
      watchTaskResponse(message, member),
    );
  }
});

test('operators, and those who take it compressed, have bytes of their own', async () => {
  const enclose = watchTaskEnvelopes();
  const [, update] = await toldMessages();
  const forMembers = await content(enclose(update!, member, null));
  const forOperators = await content(enclose(update!, operator, null));
  expect(Buffer.from(forMembers).includes('/secret/path')).toBe(false);
  expect(Buffer.from(forOperators).includes('/secret/path')).toBe(true);
  const packed = await enclose(update!, member, compressionGzip);
  const isPacked = forMembers.byteLength >= 1024;
  expect(packed[0]).toBe(isPacked ? 1 : 0);
});

test('a heartbeat, which is put together from two pieces, is what it should be', async () => {
  const enclose = watchTaskEnvelopes();
  const taskId = newId<TaskId>();
  const beats = [1, 2, 300_000_000].map((revision, i): WatchTaskMessage => ({
    kind: 'heartbeat',
    time: new Date(1_790_000_000_123 + Math.floor(i / 2)),
    resumeToken: encodeResumeToken(taskId, revision),
  }));
  for (const beat of beats) {
    const bytes = await content(enclose(beat, member, null));
    expect(fromBinary(WatchTaskResponseSchema, bytes)).toEqual(watchTaskResponse(beat, member));
  }
});

import { createHash } from 'node:crypto';
import { Image_Outlook, Image_State } from '../gen/darkroom/v1/image_pb.ts';
import { Task_State, type TaskEvent } from '../gen/darkroom/v1/task_pb.ts';
import { enumName } from '../src/server/rpc/messages/enum-names.ts';
import type { Connection } from './connection.ts';
import { producersReason } from './fates.ts';
import type { ImageContent } from './image-content.ts';
import type { Random } from './random.ts';
import type { Fate } from './upload-plan.ts';
import type { Upload } from './upload.ts';

/** How an upload's task and image must be in the end, by its fate. */
const endings: Record<Fate, { state: Image_State; task: Task_State; reason: string | undefined }> =
  {
    complete: { state: Image_State.ACTIVE, task: Task_State.SUCCEEDED, reason: undefined },
    'wrong digest': {
      state: Image_State.QUEUED,
      task: Task_State.FAILED,
      reason: 'DIGEST_MISMATCH',
    },
    cancelled: { state: Image_State.QUEUED, task: Task_State.CANCELLED, reason: undefined },
    reported: { state: Image_State.QUEUED, task: Task_State.FAILED, reason: producersReason },
    deleted: { state: Image_State.DELETED, task: Task_State.FAILED, reason: 'IMAGE_DELETED' },
    'left alone': { state: Image_State.QUEUED, task: Task_State.FAILED, reason: 'TASK_EXPIRED' },
  };

/** An image that was uploaded whole, and is kept to be looked at again. */
export interface KeptImage {
  readonly name: string;
  readonly imageId: string;
  readonly content: ImageContent;
}

/** Compares an upload with its fate. Answers what is wrong. */
export async function inspectUpload(
  connection: Connection,
  upload: Upload,
  random: Random,
): Promise<string[]> {
  const { plan, imageId, taskId } = upload;
  const expected = endings[plan.fate];
  const { image } = await connection.images.getImage({ imageId }, connection.bounded());
  const { task } = await connection.tasks.getTask({ taskId }, connection.bounded());
  const fatal = task?.state === Task_State.FAILED ? task.lastFault?.reason : undefined;
  const problems: string[] = [];
  if (
    image?.state !== expected.state ||
    task?.state !== expected.task ||
    fatal !== expected.reason ||
    image.latestTask !== taskId
  ) {
    problems.push(
      `its fate is ${plan.fate}, but the image is ${enumName(Image_State, image?.state ?? 0)} and the task ` +
        `${enumName(Task_State, task?.state ?? 0)} ${fatal ?? ''}, latest task ${image?.latestTask} of ${taskId}`,
    );
  }
  const outlook = plan.fate === 'complete' ? Image_Outlook.AVAILABLE : Image_Outlook.NOT_COMING;
  if (image?.outlook !== outlook) {
    problems.push(`its outlook is ${enumName(Image_Outlook, image?.outlook ?? 0)}`);
  }
  if (plan.fate === 'complete') {
    problems.push(...(await inspectBytes(connection, { ...plan, imageId }, random)));
  }
  return problems.map((problem) => `${plan.name}: ${problem}`);
}

/** Downloads an image, whole and in part, and compares every byte. Answers what is wrong. */
export async function inspectBytes(
  connection: Connection,
  { imageId, content }: KeptImage,
  random: Random,
): Promise<string[]> {
  const problems: string[] = [];
  const size = content.bytes.length;
  const whole = await download(connection, imageId, {});
  const sha256 = createHash('sha256').update(whole.bytes).digest('hex');
  if (whole.sha256 !== content.sha256 || sha256 !== content.sha256) {
    problems.push(
      `its sha256 is ${sha256}, told as ${whole.sha256}, and should be ${content.sha256}`,
    );
  }
  if (!whole.bytes.equals(content.bytes)) {
    problems.push(`its bytes are others: ${firstDifference(whole.bytes, content.bytes)}`);
  }
  if (size > 0) {
    const offset = random.int(0, size - 1);
    const length = random.int(1, size - offset);
    const range = await download(connection, imageId, {
      offset: BigInt(offset),
      length: BigInt(length),
    });
    if (!range.bytes.equals(content.bytes.subarray(offset, offset + length))) {
      problems.push(`bytes ${offset} to ${offset + length} are others when they are read alone`);
    }
  }
  return problems;
}

async function download(
  connection: Connection,
  imageId: string,
  range: { offset?: bigint; length?: bigint },
): Promise<{ readonly bytes: Buffer; readonly sha256: string }> {
  const parts: Buffer[] = [];
  let position = range.offset ?? 0n;
  for await (const { part } of connection.images.downloadImage(
    { imageId, ...range },
    connection.bounded(),
  )) {
    if (part.case === 'trailer') {
      return { bytes: Buffer.concat(parts), sha256: part.value.sha256 };
    }
    if (part.case === undefined || part.value.offset !== position) {
      throw new Error(`a part of the download begins at ${part.value?.offset}, not at ${position}`);
    }
    const bytes =
      part.case === 'chunk'
        ? Buffer.from(part.value.data)
        : Buffer.alloc(Number(part.value.length));
    parts.push(bytes);
    position += BigInt(bytes.length);
  }
  throw new Error('a download ended without its trailer');
}

function firstDifference(found: Buffer, expected: Buffer): string {
  const at = expected.findIndex((byte, index) => byte !== found[index]);
  return `${found.length} of ${expected.length}, first at ${at}`;
}

/** All events of a task, oldest first. */
export async function listEvents(connection: Connection, taskId: string): Promise<TaskEvent[]> {
  const events: TaskEvent[] = [];
  let pageToken = '';
  do {
    const page = await connection.tasks.listTaskEvents(
      { taskId, pageSize: 50, pageToken },
      connection.bounded(),
    );
    events.push(...page.events);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return events;
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { UploadChunkResponse } from '../gen/darkroom/v1/image_service_pb.ts';
import { readFailure } from './call-failure.ts';
import type { Connection } from './connection.ts';
import type { Journal } from './journal.ts';
import type { Mood } from './mood.ts';
import { drawPiece, expectedPieces } from './piece.ts';
import type { Random } from './random.ts';
import type { Upload } from './upload.ts';
import { misdeed } from './wrong-bytes.ts';

/** A run of UploadChunk calls. */
export interface UnaryAttempt {
  readonly upload: Upload;
  readonly connect: () => Connection;
  readonly from: number;
  /** Whether `from` is where the service said that the upload goes on. */
  readonly isExact: boolean;
  readonly epoch: bigint | undefined;
  /** Where it ends without a finish; at the image's end it goes through to the finish. */
  readonly until: number;
  readonly mood: Mood;
  /** Told, before it is sent, of what the service must refuse, and with which reason. */
  readonly provoke: (reason: string) => void;
  readonly random: Random;
  readonly journal: Journal;
}

type Call = Parameters<Connection['images']['uploadChunk']>[0];

/** Sends so many times again what was not answered, as the protocol says, before it resumes. */
const maxRepeats = 3;

/**
 * Brings the bytes by unary calls, each on any process, over a connection of its own now and then.
 * Answers the last answer; undefined if nothing was to be sent.
 *
 * @throws what a call threw, unless sending it again helped.
 */
export async function attemptUnary(given: UnaryAttempt): Promise<UploadChunkResponse | undefined> {
  const { upload, random, journal } = given;
  const pauseMs = (2 * upload.plan.paceMs) / expectedPieces(upload.size);
  const connections: Connection[] = [];
  const connect = (): Connection => {
    const made = given.connect();
    connections.push(made);
    return made;
  };
  const attempt = { ...given, connect };
  let connection = connect();
  let position = attempt.from;
  let epoch = attempt.epoch;
  let answer: UploadChunkResponse | undefined;
  try {
    while (!answer?.complete && (position < attempt.until || attempt.until === upload.size)) {
      if (random.chance(0.2)) {
        connection = connect();
      }
      const { call, end } = drawCall(attempt, position, epoch);
      const floor = upload.acknowledgements.floor;
      answer = await withRepeats(attempt, connection, call);
      upload.acknowledgements.note(answer.committedSize, floor, 'UploadChunk');
      expectCommitted(attempt, answer, Math.max(position, end));
      epoch = answer.writerEpoch;
      position = Number(answer.committedSize);
      await sleep(random.next() * pauseMs);
    }
    const wrong = answer?.complete ? undefined : misdeed(given.mood.kind, upload, position);
    if (wrong) {
      given.provoke(wrong.reason);
      upload.hasLied ||= given.mood.kind === 'lie';
      const { taskId } = upload;
      const writer = epoch === undefined ? {} : { writerEpoch: epoch };
      await withRepeats(attempt, connection, { taskId, ...writer, ...wrong.chunk });
      journal.violate(`${upload.plan.name}: a call was taken, not refused with ${wrong.reason}`);
    }
  } finally {
    for (const made of connections) {
      made.cut();
    }
  }
  return answer;
}

function drawCall(
  { upload, until, random, journal }: UnaryAttempt,
  position: number,
  epoch: bigint | undefined,
): { readonly call: Call; readonly end: number } {
  const { content } = upload.plan;
  const common = {
    taskId: upload.taskId,
    ...(epoch === undefined ? {} : { writerEpoch: epoch }),
  };
  const piece = position < until ? drawPiece(content, position, until, random) : undefined;
  const end = piece?.end ?? position;
  const isLast = end === upload.size && (!piece || random.chance(0.5));
  const sha256 = upload.plan.finishDigest;
  if (isLast) {
    upload.finishSent = true;
    journal.finishSent();
  }
  return {
    end,
    call: {
      ...common,
      offset: BigInt(piece?.offset ?? position),
      ...(piece?.isHole ? { holeLength: BigInt(piece.end - piece.offset) } : {}),
      ...(piece && !piece.isHole ? { data: content.bytes.subarray(piece.offset, end) } : {}),
      ...(piece?.crc32c === undefined ? {} : { crc32c: piece.crc32c }),
      ...(isLast
        ? {
            finish: {
              totalSize: BigInt(upload.size),
              ...(sha256 === undefined ? {} : { sha256 }),
            },
          }
        : {}),
    },
  };
}

/** "A call whose answer was lost is simply sent again." */
async function withRepeats(
  { connect, random, journal }: UnaryAttempt,
  first: Connection,
  call: Call,
): Promise<UploadChunkResponse> {
  let connection = first;
  for (let repeat = 0; ; repeat++) {
    try {
      if (random.chance(0.05)) {
        // The answer, or the call itself, gets lost on the way.
        const lost = connect();
        setTimeout(() => lost.cut(), random.int(0, 20));
        await lost.images.uploadChunk(call, lost.bounded());
      }
      return await connection.images.uploadChunk(call, connection.bounded());
    } catch (error) {
      const failure = readFailure(error);
      const isLost = failure.reason === undefined && !failure.isOverdue;
      if (!isLost || repeat >= maxRepeats) {
        throw error;
      }
      journal.counts.add('unary calls sent again');
      await sleep(random.int(20, 300));
      connection = connect();
    }
  }
}

function expectCommitted(
  { upload, journal, isExact }: UnaryAttempt,
  { committedSize }: UploadChunkResponse,
  expected: number,
): void {
  const committed = Number(committedSize);
  const isWrong = isExact && !upload.plan.hasRival ? committed !== expected : committed < expected;
  if (isWrong || committed > upload.size) {
    journal.violate(
      `${upload.plan.name}: UploadChunk answered committed_size ${committed}, and ${expected} bytes were sent`,
    );
  }
}

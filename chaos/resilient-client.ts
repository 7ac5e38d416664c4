import { setTimeout as sleep } from 'node:timers/promises';
import { Image_State } from '../gen/darkroom/v1/image_pb.ts';
import type { UploadImageResponse } from '../gen/darkroom/v1/image_service_pb.ts';
import { Task_State } from '../gen/darkroom/v1/task_pb.ts';
import { readFailure, type CallFailure } from './call-failure.ts';
import type { Connection } from './connection.ts';
import { cancelUpload, createUpload, meetFate, retryUpload } from './fates.ts';
import { HungStreams } from './hung-streams.ts';
import type { Journal } from './journal.ts';
import { drawMood, type Mood } from './mood.ts';
import { persist } from './persistence.ts';
import type { Random } from './random.ts';
import { attemptStream } from './stream-attempt.ts';
import { attemptUnary } from './unary-attempt.ts';
import type { Upload } from './upload.ts';

/** Reasons after which the protocol says: resume. */
const resumable: ReadonlySet<string> = new Set([
  'CONNECTION_LOST',
  'SERVICE_LOST',
  'SERVER_DRAINING',
  'DATABASE_UNAVAILABLE',
  'STORAGE_UNAVAILABLE',
  'WRITER_ACTIVE',
]);

/** An upload that takes longer hangs, in ms. */
const uploadTimeoutMs = 150_000;
/** How often a rival takes the upload back before it leaves it to the other. */
const rivalPatience = 2;

/** Where an attempt begins. */
interface Start {
  readonly from: number;
  readonly epoch: bigint | undefined;
  /** Whether the service just said that this is where to go on. */
  readonly isExact: boolean;
}

/** What a client works with. */
export interface ResilientClientParts {
  readonly upload: Upload;
  readonly random: Random;
  readonly journal: Journal;
  /** Connects to any process of the service, dead or alive. */
  readonly connect: () => Connection;
  /** Whether another client brings the same upload, and began it. */
  readonly isRival: boolean;
}

/**
 * A client that follows docs/upload-protocol.md and nothing else, and does not behave: it breaks off,
 * hangs, sends twice, goes elsewhere, lies. It brings its upload to the planned end nevertheless, or
 * says which promise was broken.
 */
export class ResilientClient {
  readonly #parts: ResilientClientParts;
  readonly #hung: HungStreams;
  #epoch: bigint | undefined;
  #timesFenced = 0;
  /** What the present attempt has asked for; streams that were left go on with theirs. */
  #asked: { reason: string | undefined } = { reason: undefined };

  constructor(parts: ResilientClientParts) {
    this.#parts = parts;
    this.#hung = new HungStreams(parts.upload, parts.journal);
  }

  /** Brings the upload to its end. */
  async run(): Promise<void> {
    const { upload, connect, isRival, journal, random } = this.#parts;
    if (!isRival) {
      await createUpload(connect, upload);
    }
    const deadline = performance.now() + uploadTimeoutMs;
    for (let attempt = 1; !(await this.#fateIsMet(attempt)); attempt++) {
      if (performance.now() > deadline) {
        journal.violate(`${upload.plan.name} is not done after ${uploadTimeoutMs / 1000} s`);
        break;
      }
      const connection = connect();
      this.#asked = { reason: undefined };
      try {
        if (await this.#attempt(connection, attempt)) {
          break;
        }
      } catch (error) {
        if (await this.#isOver(readFailure(error))) {
          break;
        }
      }
      if (!this.#hung.uses(connection)) {
        connection.cut();
      }
      await sleep(random.int(20, 300));
    }
    await this.#hung.end();
  }

  async #fateIsMet(attempt: number): Promise<boolean> {
    const { upload, connect, isRival } = this.#parts;
    const { fate, fateAt } = upload.plan;
    if (isRival || fate === 'complete' || fate === 'wrong digest') {
      return false;
    }
    if (upload.acknowledgements.floor < fateAt && attempt <= 5) {
      return false;
    }
    await meetFate(connect, upload);
    return true;
  }

  /** Answers whether the upload is done. */
  async #attempt(connection: Connection, attempt: number): Promise<boolean> {
    const { upload, random, journal, isRival, connect } = this.#parts;
    const start = await this.#begin(connection, attempt);
    const { plan } = upload;
    const isCutShort = plan.fate !== 'complete' && plan.fate !== 'wrong digest';
    const mood: Mood = isCutShort
      ? { kind: random.pick(['half-close', 'cut']), at: plan.fateAt }
      : drawMood(random, upload, { ...start, attempt, isRival });
    const road = plan.road === 'both' ? random.pick(['stream', 'unary'] as const) : plan.road;
    journal.note(
      `${plan.name}${isRival ? ' (rival)' : ''} ${road} to ${connection.url} from ${start.from} of ${upload.size} ` +
        `epoch ${start.epoch ?? 'none'}${start.isExact ? '' : ' (a guess)'}: ${mood.kind} at ${mood.at}`,
    );
    const asked = this.#asked;
    const provoke = (reason: string): void => void (asked.reason = reason);
    const common = { ...start, upload, mood, random, journal, provoke };
    if (road === 'unary') {
      // Each call goes on where the last one's answer says: a guess jumps by itself.
      const until = mood.kind === 'whole' || mood.kind === 'jump' ? upload.size : mood.at;
      const answer = await attemptUnary({ ...common, connect, until });
      this.#epoch = answer?.writerEpoch ?? this.#epoch;
      return answer?.complete === true && this.#isWell(answer);
    }
    const floor = upload.acknowledgements.floor;
    const end = await attemptStream({
      ...common,
      connection,
      patienceMs: drawPatience(random, attempt),
      cancelTask: () => cancelUpload(connect, upload),
    });
    if (end.kind === 'hung') {
      this.#hung.add(connection, end.stream);
      return false;
    }
    const { answer, sentUpTo } = end;
    upload.acknowledgements.note(answer.committedSize, floor, 'UploadImage');
    if (asked.reason !== undefined && !answer.complete) {
      journal.violate(`${plan.name}: ${mood.kind} was taken, not refused with ${asked.reason}`);
    }
    this.#expectCommitted(answer, sentUpTo, start.isExact);
    return answer.complete && this.#isWell(answer);
  }

  /** Where to go on: mostly as ResumeUpload says, now and then as a client that thinks that it knows. */
  async #begin(connection: Connection, attempt: number): Promise<Start> {
    const { upload, random, journal, isRival } = this.#parts;
    const { acknowledgements, taskId } = upload;
    const isFirst = attempt === 1 && !isRival;
    if (isFirst || (random.chance(0.15) && !this.#hung.any)) {
      const from = random.pick([0, acknowledgements.floor, random.int(0, acknowledgements.floor)]);
      return { from, epoch: random.chance(0.5) ? this.#epoch : undefined, isExact: isFirst };
    }
    const { floor } = acknowledgements;
    const resumed = await connection.images.resumeUpload({ taskId }, connection.bounded());
    journal.counts.add('resumes');
    acknowledgements.note(resumed.committedSize, floor, 'ResumeUpload');
    if (
      this.#epoch !== undefined &&
      resumed.writerEpoch < this.#epoch &&
      taskId === upload.taskId
    ) {
      journal.violate(
        `${upload.plan.name}: ResumeUpload answered epoch ${resumed.writerEpoch} after ${this.#epoch}`,
      );
    }
    this.#epoch = resumed.writerEpoch;
    this.#hung.wakeSoon(random);
    return { from: Number(resumed.committedSize), epoch: resumed.writerEpoch, isExact: true };
  }

  #expectCommitted(answer: UploadImageResponse, sent: number, isExact: boolean): void {
    const { upload, journal } = this.#parts;
    const committed = Number(answer.committedSize);
    const isWrong = isExact && !upload.plan.hasRival ? committed !== sent : committed < sent;
    if (isWrong || committed > upload.size) {
      journal.violate(
        `${upload.plan.name}: UploadImage answered committed_size ${committed}, and ${sent} bytes were sent`,
      );
    }
  }

  /** Checks the answer that says that the image is ACTIVE. */
  #isWell({ image, task }: Pick<UploadImageResponse, 'image' | 'task'>): true {
    const { upload, journal } = this.#parts;
    const { plan, size } = upload;
    if (plan.fate !== 'complete') {
      journal.violate(`${plan.name} was completed, and its fate is ${plan.fate}`);
    } else if (
      image?.state !== Image_State.ACTIVE ||
      image.sha256 !== plan.content.sha256 ||
      image.sizeBytes !== BigInt(size) ||
      task?.state !== Task_State.SUCCEEDED
    ) {
      journal.violate(`${plan.name} was answered as complete with another image or task`);
    }
    return true;
  }

  /** What the protocol says to do after a failure. Answers whether there is nothing left to do. */
  async #isOver(failure: CallFailure): Promise<boolean> {
    const { upload, journal, isRival, random } = this.#parts;
    const { plan } = upload;
    const { reason } = failure;
    journal.counts.add(`answer ${reason ?? 'of the transport'}`);
    journal.note(`${plan.name}${isRival ? ' (rival)' : ''} got ${failure.message}`);
    if (failure.metadata['committed_size'] !== undefined) {
      upload.acknowledgements.note(failure.metadata['committed_size'], 0, 'an error');
    }
    if (failure.isOverdue) {
      journal.violate(`${plan.name} waited for an answer in vain`);
    }
    if (reason === undefined || resumable.has(reason)) {
      return false;
    }
    if (reason === 'WRITER_FENCED') {
      this.#timesFenced += 1;
      if (!plan.hasRival) {
        journal.counts.add(`fenced without a rival${upload.finishSent ? ' after a finish' : ''}`);
        journal.note(`${plan.name} was fenced without a rival`);
      }
      await sleep(random.int(0, 300));
      return isRival && this.#timesFenced > rivalPatience;
    }
    if (reason === 'TASK_TERMINAL' || reason === 'SIZE_SHORT' || reason === 'DIGEST_MISMATCH') {
      return await this.#afterEnd(reason);
    }
    if (reason === 'TASK_EXPIRED' && plan.fate === 'left alone') {
      return true;
    }
    if (reason !== this.#asked.reason) {
      journal.violate(`${plan.name} got ${failure.message}, and had not asked for it`);
    }
    return false;
  }

  /** The task has ended otherwise than by success: as planned, or to be retried. */
  async #afterEnd(reason: string): Promise<boolean> {
    const { upload, journal, isRival, connect } = this.#parts;
    const { plan, taskId } = upload;
    if (isRival) {
      return true;
    }
    const { task } = await persist(connect, ({ tasks }, options) =>
      tasks.getTask({ taskId }, options),
    );
    const state = task?.state;
    if (state === Task_State.PENDING || state === Task_State.RUNNING) {
      journal.violate(`${plan.name} got ${reason}, and its task is live`);
      return false;
    }
    if (state === Task_State.SUCCEEDED) {
      return false;
    }
    const ended = task?.lastFault?.reason ?? 'cancelled';
    if (plan.fate === 'wrong digest' && ended === 'DIGEST_MISMATCH') {
      return true;
    }
    if (plan.fate === 'left alone' && ended === 'TASK_EXPIRED') {
      return true;
    }
    if (!upload.endedOnPurpose) {
      journal.violate(`${plan.name} got ${reason}: its task has ended with ${ended}`);
    }
    journal.counts.add('retries');
    await retryUpload(connect, upload);
    this.#epoch = undefined;
    return false;
  }
}

/**
 * How long a client waits for a stream. An impatient one goes elsewhere while its stream still sends, so
 * that old and new writer meet in the middle of a commit.
 */
function drawPatience(random: Random, attempt: number): number {
  return random.chance(attempt <= 3 ? 0.2 : 0) ? random.int(50, 1500) : random.int(4000, 10_000);
}

import { defineEntity, p } from '@mikro-orm/core';
import type { BlobId, FaultId, ImageId, ProcessId, TaskId } from './ids.ts';

/** What a task does, as in the contract's enum without its prefix. */
export const taskTypes = ['UPLOAD', 'SNAPSHOT', 'IMPORT'] as const;
export type TaskType = (typeof taskTypes)[number];

/** How far a task is, as in the contract's enum without its prefix. */
export const taskStates = ['PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED'] as const;
export type TaskState = (typeof taskStates)[number];

/** What a task is doing, as in the contract's enum without its prefix. */
export type TaskPhase =
  'WAITING_FOR_DATA' | 'RECEIVING' | 'FETCHING' | 'VERIFYING' | 'UNPACKING' | 'PUBLISHING';

const TaskSchema = defineEntity({
  name: 'Task',
  tableName: 'tasks',
  properties: {
    id: p.uuid().primary().$type<TaskId>(),
    projectId: p.text(),
    createdBy: p.text(),
    requestId: p.text().nullable(),
    type: p.text().$type<TaskType>(),
    imageId: p.uuid().$type<ImageId>(),
    labels: p.json<Record<string, string>>(),
    state: p.text().$type<TaskState>(),
    phase: p.text().$type<TaskPhase>(),
    message: p.text(),
    /** Imports: where from, for people, without what may be secret. */
    source: p.text().nullable(),

    /** Bytes from the image's start that are durably stored. Never decreases. */
    committedSize: p.bigint('number'),
    /** Bytes of the committed ones that take up room in the store. */
    storedBytes: p.bigint('number'),
    /** What the producer reported before any byte was committed. */
    reportedBytesDone: p.bigint('number').nullable(),
    reportedBytesTotal: p.bigint('number').nullable(),
    /** What the creator stated; no other size or digest is taken. */
    expectedSize: p.bigint('number').nullable(),
    expectedSha256: p.text().nullable(),
    expectedSha512: p.text().nullable(),
    /** What the finish stated, once one was taken; the task then completes by itself. */
    finishSize: p.bigint('number').nullable(),
    finishSha256: p.text().nullable(),
    /** What the sender of the bytes said of the whole before the first of them, where the creator stated nothing. */
    announcedSize: p.bigint('number').nullable(),
    /** Whether what comes waits for an import, which makes it the image. */
    isStaging: p.boolean(),
    /** The bytes that wait for it, all of them; null until the last has come. */
    stagedSize: p.bigint('number').nullable(),
    /** Whether what comes is compressed, and the image is what is inside. */
    decompress: p.boolean(),
    /** Of the committed bytes, how many are unpacked by the try that is under way, or was the last. */
    unpackedSize: p.bigint('number'),

    /** The bytes; held by the one live task of the image, or by a terminal one whose bytes a retry may take over. */
    blobId: p.uuid().$type<BlobId>().nullable(),
    /** Raised whenever the upload gets a new writer; a commit of an older epoch changes nothing. */
    writerEpoch: p.bigint('number'),
    /** The process that serves the writer's stream just now; null while no stream is attached. */
    writerProcessId: p.uuid().$type<ProcessId>().nullable(),
    /** Who the writer is, for people: user and address. */
    writerPeer: p.text().nullable(),
    writerSince: p.datetime(3).nullable(),

    attempt: p.integer(),
    retryOf: p.uuid().$type<TaskId>().nullable(),
    retriedBy: p.uuid().$type<TaskId>().nullable(),
    faultCount: p.integer(),
    lastFaultId: p.uuid().$type<FaultId>().nullable(),
    revision: p.bigint('number'),
    /** How long the task waits for the next sign of life, in ms. */
    idleTimeoutMs: p.bigint('number'),
    /** Set exactly while the task is not terminal. */
    expireTime: p.datetime(3).nullable(),
    createTime: p.datetime(3),
    startTime: p.datetime(3).nullable(),
    updateTime: p.datetime(3),
    finishTime: p.datetime(3).nullable(),
  },
});

/** A row of `tasks`. Its image, blob and faults are referred to by id. */
export class Task extends TaskSchema.class {}
TaskSchema.setClass(Task);
export { TaskSchema };

import { defineEntity, p } from '@mikro-orm/core';
import type { Code } from '../../gen/google/rpc/code_pb.ts';
import type { FaultId, ImageId, TaskId } from './ids.ts';
import type { TaskPhase } from './task.ts';

/** Who noticed a fault. */
export type FaultOrigin = 'SERVER' | 'PRODUCER';

const FaultSchema = defineEntity({
  name: 'Fault',
  tableName: 'faults',
  properties: {
    id: p.uuid().primary().$type<FaultId>(),
    taskId: p.uuid().$type<TaskId>(),
    imageId: p.uuid().$type<ImageId>(),
    projectId: p.text(),
    /** Counts the faults of one task from 1. */
    sequence: p.integer(),
    /** A google.rpc.Code. */
    code: p.integer().$type<Code>(),
    /** UPPER_SNAKE_CASE; the service's own are FailureReason, a producer gives any. */
    reason: p.text(),
    message: p.text(),
    detail: p.text(),
    phase: p.text().$type<TaskPhase>(),
    /** The committed size at the time, in bytes. */
    offset: p.bigint('number').fieldName('committed_offset'),
    attempt: p.integer(),
    origin: p.text().$type<FaultOrigin>(),
    host: p.text(),
    fatal: p.boolean(),
    retryable: p.boolean(),
    createTime: p.datetime(3),
  },
});

/** A row of `faults`; never changed once written. */
export class Fault extends FaultSchema.class {}
FaultSchema.setClass(Fault);
export { FaultSchema };

import { create } from '@bufbuild/protobuf';
import type { Fault as FaultMessage } from '../../../../gen/darkroom/v1/fault_pb.ts';
import { FaultSchema, Fault_Origin } from '../../../../gen/darkroom/v1/fault_pb.ts';
import { Phase } from '../../../../gen/darkroom/v1/phase_pb.ts';
import type { Caller } from '../../../access/caller.ts';
import { maySeeDetail } from '../../../access/rights.ts';
import type { Fault } from '../../../records/fault.ts';
import { timestampOf } from './well-known-types.ts';

/** A fault as `caller` may see it: only operators are told the detail. */
export function faultMessage(fault: Fault, caller: Caller): FaultMessage {
  return create(FaultSchema, {
    id: fault.id,
    taskId: fault.taskId,
    imageId: fault.imageId,
    sequence: fault.sequence,
    code: fault.code,
    reason: fault.reason,
    message: fault.message,
    detail: maySeeDetail(caller) ? fault.detail : '',
    phase: Phase[fault.phase],
    offset: BigInt(fault.offset),
    attempt: fault.attempt,
    origin: Fault_Origin[fault.origin],
    host: fault.host,
    fatal: fault.fatal,
    retryable: fault.retryable,
    createTime: timestampOf(fault.createTime),
  });
}

/** The same where there may be none. */
export function faultMessageIfAny(
  fault: Fault | undefined,
  caller: Caller,
): FaultMessage | undefined {
  return fault && faultMessage(fault, caller);
}

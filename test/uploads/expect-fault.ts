import { expect } from 'vitest';
import type { Code } from '../../gen/google/rpc/code_pb.ts';
import type { Database } from '../../src/database/database.ts';
import type { DarkroomError } from '../../src/domain/darkroom-error.ts';
import type { TaskId } from '../../src/records/ids.ts';
import { readFaults, readTask } from '../support/upload-world.ts';

/** A fault as it is to be recorded, and told to the client. */
export interface ExpectedFault {
  readonly reason: string;
  readonly code: Code;
  /** Bytes that are kept; all that were sent before if not given. */
  readonly offset?: number;
  readonly phase?: string;
  readonly fatal?: boolean;
  readonly retryable?: boolean;
  readonly metadata?: Record<string, string>;
}

/** Fails unless the one fault of a task is the expected one, and the client was told of it. */
export async function expectFault(
  database: Database,
  taskId: TaskId,
  failure: DarkroomError,
  expected: ExpectedFault,
): Promise<void> {
  const { metadata = {}, phase = 'RECEIVING', fatal = false, retryable = true } = expected;
  const { reason, code, offset = 100_000 } = expected;
  expect(failure).toMatchObject({
    reason,
    code,
    metadata: { ...metadata, committed_size: String(offset), task_id: taskId },
  });
  const faults = await readFaults(database, taskId);
  expect(faults).toMatchObject([
    { reason, code, offset, phase, fatal, retryable, origin: 'SERVER', message: failure.message },
  ]);
  expect(await readTask(database, taskId)).toMatchObject({
    state: fatal ? 'FAILED' : 'RUNNING',
    phase,
    committedSize: offset,
    writerProcessId: null,
    faultCount: 1,
    lastFaultId: faults[0]!.id,
  });
}

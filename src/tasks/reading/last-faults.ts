import type { EntityManager } from '@mikro-orm/postgresql';
import { Fault } from '../../records/fault.ts';
import type { FaultId } from '../../records/ids.ts';
import type { Task } from '../../records/task.ts';
import type { TaskSnapshot } from './task-reader.ts';

/** The newest faults of images and tasks, read in one query; those that were pruned are not there. */
export async function readLastFaults(
  em: EntityManager,
  rows: readonly { readonly lastFaultId?: FaultId | null | undefined }[],
): Promise<ReadonlyMap<FaultId, Fault>> {
  const ids = new Set(rows.flatMap((row) => row.lastFaultId ?? []));
  const faults = ids.size === 0 ? [] : await em.find(Fault, { id: { $in: [...ids] } });
  return new Map(faults.map((fault) => [fault.id, fault]));
}

/** A task with its newest fault, of those that were read. */
export function withLastFault(task: Task, faults: ReadonlyMap<FaultId, Fault>): TaskSnapshot {
  return { task, lastFault: task.lastFaultId ? faults.get(task.lastFaultId) : undefined };
}

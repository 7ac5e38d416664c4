import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../../database/database.ts';
import { ownFaults } from '../../access/find-fault.ts';
import type { Caller } from '../../access/caller.ts';
import { visibleProject } from '../../access/rights.ts';
import { Fault } from '../../records/fault.ts';
import type { FaultId } from '../../records/ids.ts';
import type { Task } from '../../records/task.ts';
import type { TaskSnapshot } from './task-reader.ts';

/** Rows that have newest faults. */
type Faulty = readonly { readonly lastFaultId?: FaultId | null | undefined }[];

/** The newest faults of a caller's images and tasks, not tracked by any unit of work; those that were pruned are not there. */
export async function readLastFaults(
  database: Database,
  caller: Caller,
  rows: Faulty,
): Promise<ReadonlyMap<FaultId, Readonly<Fault>>> {
  const ids = new Set(rows.flatMap((row) => row.lastFaultId ?? []));
  const own = ownFaults(database);
  const projectId = visibleProject(caller);
  const faults = await Promise.all(Array.from(ids, (id) => own.read(projectId, id)));
  return new Map(faults.flatMap((fault) => (fault ? [[fault.id, fault] as const] : [])));
}

/** The same in a unit of work, which sees what it has written itself. */
export async function findLastFaults(
  em: EntityManager,
  rows: Faulty,
): Promise<ReadonlyMap<FaultId, Fault>> {
  const ids = new Set(rows.flatMap((row) => row.lastFaultId ?? []));
  const faults = ids.size === 0 ? [] : await em.find(Fault, { id: { $in: [...ids] } });
  return new Map(faults.map((fault) => [fault.id, fault]));
}

/** A task with its newest fault, of those that were read. */
export function withLastFault(
  task: Readonly<Task>,
  faults: ReadonlyMap<FaultId, Readonly<Fault>>,
): TaskSnapshot {
  return { task, lastFault: task.lastFaultId ? faults.get(task.lastFaultId) : undefined };
}

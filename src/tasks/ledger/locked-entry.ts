import type { EntityManager } from '@mikro-orm/postgresql';
import type { RawRow } from '../../database/entity-rows.ts';
import type { Image } from '../../records/image.ts';
import type { Task } from '../../records/task.ts';
import { LedgerEntry } from './ledger-entry.ts';
import type { LedgerFacts } from './ledger-facts.ts';
import { TrackedRows } from './ledger-rows.ts';

/**
 * A task and its image that are locked, inside a transaction. More may be read and written in it, by its unit of
 * work; changes are written when it commits.
 */
export class LockedEntry extends LedgerEntry {
  readonly em: EntityManager;
  declare readonly rows: TrackedRows;

  constructor(em: EntityManager, image: Image, task: Task, now: Date) {
    super(new TrackedRows(em, now), image, task, now);
    this.em = em;
  }

  /** What a change needs to know besides, as it is while the locks are held. @throws the driver's errors. */
  async readFacts<Facts>(facts: LedgerFacts<Facts>): Promise<Facts> {
    const rows: RawRow[] = await this.em.execute(
      `select ${facts.columns} from tasks as task where task.id = ?`,
      [this.task.id],
    );
    return facts.of(rows[0] ?? {});
  }
}

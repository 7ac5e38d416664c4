import type { RawRow } from '../../database/entity-rows.ts';

/** What a change needs to know besides its task and its image: read together with them. */
export interface LedgerFacts<Facts> {
  /** Part of a statement's name, so short and constant. */
  readonly name: string;
  /**
   * SQL: what follows `select`, with the task's row as `task`. What must still hold when the change is written changes
   * with that row only.
   */
  readonly columns: string;
  readonly of: (row: RawRow) => Facts;
}

/** For changes that need to know nothing more. */
export const noFacts: LedgerFacts<undefined> = {
  name: 'alone',
  columns: 'null as facts',
  of: () => undefined,
};

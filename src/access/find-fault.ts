import type { Database } from '../database/database.ts';
import { rowsForProject, type RowsForProject } from '../database/rows-for-project.ts';
import { Fault } from '../records/fault.ts';
import { isOwnSql } from './rights.ts';

/** Faults by their ids, each for the project whose it must be. */
export function ownFaults(database: Database): RowsForProject<Fault> {
  return rowsForProject(database, Fault, isOwnSql('faults', 'asked_project'));
}

import type { Pool, QueryResultRow } from 'pg';
import { quotaExceeded } from './quota-exceeded.ts';
import type { Statement, StatementObserver, StatementResult } from './statement.ts';

/** Runs hot statements on the pools of a database, each prepared once on each connection. */
export class HotStatements {
  readonly #observe: StatementObserver;
  /** Of those that are prepared, by their names. */
  readonly #texts = new Map<string, string>();

  /** @param observe told of each statement; nobody is, if not set. */
  constructor(observe: StatementObserver = () => () => {}) {
    this.#observe = observe;
  }

  /**
   * Runs a statement on a connection of a pool.
   *
   * @throws the driver's errors; DarkroomError QUOTA_EXCEEDED; Error where another prepared statement has the same name.
   */
  async runOn<Row extends object>(
    pool: Pool,
    { name, text, values, isPrepared = true, timeoutMs }: Statement,
  ): Promise<StatementResult<Row>> {
    if (isPrepared) {
      this.#assertOwnName(name, text);
    }
    const ended = this.#observe(name);
    try {
      const { rows, rowCount } = await pool.query<Row & QueryResultRow>({
        text,
        ...(isPrepared && { name }),
        ...(values && { values: [...values] }),
        ...(timeoutMs !== undefined && { query_timeout: timeoutMs }),
      });
      ended();
      return { rows, rowCount: rowCount ?? 0 };
    } catch (error) {
      ended(error);
      throw quotaExceeded(error) ?? error;
    }
  }

  /**
   * Two texts of one name fail only where both come to the same connection: under load, and for whoever comes second. So it
   * is told at once, whatever the connection.
   */
  #assertOwnName(name: string, text: string): void {
    const known = this.#texts.get(name);
    if (known === undefined) {
      this.#texts.set(name, text);
    } else if (known !== text) {
      throw new Error(`two prepared statements have the name "${name}"`);
    }
  }
}

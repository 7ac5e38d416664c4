/**
 * A statement that is hot, run by `Database.run`: prepared once on each connection, and known by its name to
 * whoever observes.
 */
export interface Statement {
  /** Short and constant: PostgreSQL knows the prepared statement by it. */
  readonly name: string;
  readonly text: string;
  readonly values?: readonly unknown[];
  /** False for one that comes in so many forms that no connection should keep them; true if not set. */
  readonly isPrepared?: boolean;
  /** ms after which the connection is given up; for ever if not set. */
  readonly timeoutMs?: number;
}

/** What a statement gave. */
export interface StatementResult<Row> {
  readonly rows: readonly Row[];
  /** Rows that were read or changed. */
  readonly rowCount: number;
}

/**
 * Told of each statement as it begins; what it returns is called once when the statement has ended, with the
 * error if it failed. Called synchronously, must not throw. For measuring: the domain knows nothing of it.
 */
export type StatementObserver = (name: string) => (error?: unknown) => void;

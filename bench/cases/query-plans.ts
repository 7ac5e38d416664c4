import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { PostgresSettings } from '../../src/database/embedded-postgres.ts';
import type { BenchPostgres } from '../stage/postgres.ts';
import type { Stage } from '../stage/stage.ts';

/** The settings without which no plans can be read. */
export const planSettings: PostgresSettings = {
  session_preload_libraries: 'auto_explain',
  'auto_explain.log_analyze': 'on',
  'auto_explain.log_buffers': 'on',
  log_line_prefix: '',
};

/** How long PostgreSQL may take to notice a setting, or to write its log. */
const settleMs = 500;

/** Reads from PostgreSQL's log how it ran the queries of the service. */
export class PlanReader {
  readonly #client: pg.Client;
  readonly #logFile: string;

  private constructor(client: pg.Client, logFile: string) {
    this.#client = client;
    this.#logFile = logFile;
  }

  /** Has PostgreSQL write the plans of all queries, until `stop`. */
  static async open(stage: Stage, postgres: BenchPostgres): Promise<PlanReader> {
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    stage.defer(() => client.end());
    const reader = new PlanReader(client, postgres.logFile);
    await reader.#set('auto_explain.log_min_duration', '0');
    return reader;
  }

  /** The plans of what was asked of lists while `work` ran. */
  async during(work: () => Promise<unknown>): Promise<string> {
    const before = (await readFile(this.#logFile, 'utf8')).length;
    await work();
    await delay(settleMs);
    const log = (await readFile(this.#logFile, 'utf8')).slice(before);
    // Each entry begins with its level; its further lines are indented by a tab.
    const entries = log.split(/^(?=LOG: )/m);
    return entries
      .filter((entry) => /from "(tasks|images)" as .* limit/i.test(entry))
      .map((entry) => entry.trimEnd())
      .join('\n\n');
  }

  /** Ends the writing of plans. */
  async stop(): Promise<void> {
    await this.#set('auto_explain.log_min_duration', '-1');
  }

  async #set(name: string, value: string): Promise<void> {
    await this.#client.query(`alter system set ${name} = '${value}'`);
    await this.#client.query('select pg_reload_conf()');
    await delay(settleMs);
  }
}

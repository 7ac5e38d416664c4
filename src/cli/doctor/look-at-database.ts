import { userInfo } from 'node:os';
import pg from 'pg';
import type { Settings } from '../../config/settings.ts';
import { durationText } from '../output/amounts.ts';
import { broken, doubtful, well, type Finding } from './finding.ts';

const patienceMs = 5000;
const skewMs = 2000;
const slowMs = 50;
/** PostgreSQL's number of the oldest version that is tested. */
const oldest = 140_000;

/** Whether the PostgreSQL of DATABASE_URL answers, how fast, and whether its clock is that of this machine. */
export async function lookAtDatabase(settings: Settings): Promise<readonly Finding[]> {
  const { databaseUrl, databasePoolSize } = settings;
  if (databaseUrl === undefined) {
    return [
      well(
        'database',
        `a PostgreSQL of its own, below ${settings.dataDir}, run by ${userInfo().username}`,
      ),
    ];
  }
  const client = new pg.Client({
    connectionString: databaseUrl,
    connectionTimeoutMillis: patienceMs,
    query_timeout: patienceMs,
  });
  try {
    await client.connect();
    const began = performance.now();
    const { rows } = await client.query<Facts>(
      `select extract(epoch from clock_timestamp()) * 1000 as "nowMs", current_setting('server_version') as version,
        current_setting('server_version_num')::int as number, current_setting('max_connections')::int as most,
        has_database_privilege(current_database(), 'create') as "mayCreate"`,
    );
    const ms = performance.now() - began;
    const [facts] = rows;
    if (facts === undefined) {
      return [broken('database', 'it answers with nothing', 'Look at what DATABASE_URL leads to.')];
    }
    return findingsOf(facts, ms, Date.now() - ms / 2, databasePoolSize);
  } catch (error) {
    // Of several addresses that were tried, pg tells none in its message.
    const message = (error as Error).message || String((error as { code?: unknown }).code);
    return [
      broken(
        'database',
        `DATABASE_URL cannot be connected to: ${message}`,
        'Start PostgreSQL, or mend host, port, user, password or name in DATABASE_URL.',
      ),
    ];
  } finally {
    await client.end().catch(() => undefined);
  }
}

interface Facts {
  readonly nowMs: string;
  readonly version: string;
  readonly number: number;
  readonly most: number;
  readonly mayCreate: boolean;
}

function findingsOf(facts: Facts, ms: number, thenMs: number, poolSize: number): Finding[] {
  const { version, number, most, mayCreate } = facts;
  const found = `PostgreSQL ${version} answers in ${durationText(ms)}`;
  const apartMs = Math.round(Number(facts.nowMs) - thenMs);
  const findings: Finding[] = [
    number < oldest
      ? broken('database', found, 'Give it a newer PostgreSQL: 14 or later.')
      : ms > slowMs
        ? doubtful(
            'database',
            found,
            'It is far away or busy: every commit of an upload waits for it.',
          )
        : well('database', found),
    Math.abs(apartMs) > skewMs
      ? doubtful(
          'clock',
          `the database's is ${durationText(Math.abs(apartMs))} ${apartMs > 0 ? 'ahead' : 'behind'}`,
          'Have both machines take their time from the same place (NTP).',
        )
      : well('clock', `the database's is ${Math.abs(apartMs)} ms apart`),
  ];
  if (!mayCreate) {
    findings.push(
      broken(
        'database',
        'its user may not make schemas',
        'grant create on database … to the user of DATABASE_URL',
      ),
    );
  }
  if (most < poolSize + 5) {
    findings.push(
      doubtful(
        'database',
        `it allows ${most} connections, and the service may want ${poolSize + 1}`,
        'Raise max_connections of PostgreSQL, or lower DARKROOM_DATABASE_POOL_SIZE.',
      ),
    );
  }
  return findings;
}

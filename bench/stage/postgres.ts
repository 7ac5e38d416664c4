import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  startEmbeddedPostgres,
  type PostgresSettings,
} from '../../src/database/embedded-postgres.ts';
import { clusterPaths } from '../../src/database/embedded-postgres/cluster.ts';
import type { Stage } from './stage.ts';

/** A PostgreSQL of a benchmark's own. */
export interface BenchPostgres {
  readonly url: string;
  /** Of the postmaster. */
  readonly pid: number;
  /** Where the server writes its log. */
  readonly logFile: string;
}

/**
 * Starts the PostgreSQL that the service itself would start, with the same settings and fsync on. It is
 * given to the service by DATABASE_URL, so that baselines can use it as well.
 */
export async function startPostgres(
  stage: Stage,
  extraSettings: PostgresSettings = {},
): Promise<BenchPostgres> {
  const dataDir = join(stage.folder, 'database');
  await mkdir(dataDir);
  const server = await startEmbeddedPostgres({
    dataDir,
    extraSettings,
    logger: { info: () => {}, warn: console.warn, error: console.error },
  });
  stage.defer(() => server.stop());
  return {
    url: server.connectionString,
    pid: server.pid,
    logFile: clusterPaths(dataDir).log,
  };
}

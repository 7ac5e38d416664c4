import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { Database } from '../../src/database/database.ts';
import { startThrowawayPostgres } from '../../src/database/embedded-postgres/throwaway.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** A superuser's URL of the cluster that all test files share. */
    clusterUrl: string;
    /** A database with the schema, to be copied by each test file. */
    templateDatabase: string;
  }
}

/**
 * One PostgreSQL for the whole run, with fsync off; each test file copies the migrated template.
 * DARKROOM_TEST_CLUSTER_URL names a running cluster to use in its place.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = process.env['DARKROOM_TEST_CLUSTER_URL'];
  let clusterUrl: string;
  let stop = async (): Promise<void> => {};
  if (given) {
    clusterUrl = given;
  } else {
    const server = await startThrowawayPostgres({
      // It would look into hundreds of databases that are gone before they need it.
      extraSettings: { max_connections: '300', autovacuum: 'off' },
      logger: { info: () => {}, warn: console.warn, error: console.error },
    });
    clusterUrl = server.connectionString;
    stop = server.stop;
  }

  const templateDatabase = `darkroom_template_${process.pid}`;
  await administer(clusterUrl, `create database ${templateDatabase}`);
  const url = databaseUrl(clusterUrl, templateDatabase);
  const database = await Database.connect({ url, poolSize: 2, onWarning: console.warn });
  await database.migrate();
  await database.close();

  project.provide('clusterUrl', clusterUrl);
  project.provide('templateDatabase', templateDatabase);
  return async () => {
    await administer(clusterUrl, `drop database if exists ${templateDatabase} with (force)`);
    await stop();
  };
}

/** Runs one statement as the cluster's superuser. */
export async function administer(clusterUrl: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: clusterUrl });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** The URL of another database of the same cluster. */
export function databaseUrl(clusterUrl: string, name: string): string {
  const url = new URL(clusterUrl);
  url.pathname = `/${name}`;
  return url.href;
}

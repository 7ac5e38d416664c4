import { createHash } from 'node:crypto';
import { lstat, readlink, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { ROLE } from './cluster.ts';
import { hasCode } from './errors.ts';
import { SOCKET_FILE } from './settings.ts';

// sun_path with its closing zero byte is 108 bytes on Linux, 104 on macOS.
const SOCKET_PATH_LIMIT_BYTES = process.platform === 'linux' ? 107 : 103;

/** A short way to the folder of the server's socket. */
export interface SocketFolder {
  readonly path: string;
  /** Removes what was made for it outside the data folder. */
  dispose(): Promise<void>;
}

/**
 * A path to the socket in `cluster` that fits into a socket address: its own or, below deep folders,
 * a symbolic link in /tmp. The limit is on the bytes of the address, not on what it leads to, and the
 * server itself binds a relative path, so only clients need the detour. Cleaners of /tmp leave the
 * link alone: every new connection renews its access time.
 */
export async function socketFolder(cluster: string): Promise<SocketFolder> {
  if (Buffer.byteLength(path.join(cluster, SOCKET_FILE)) <= SOCKET_PATH_LIMIT_BYTES) {
    return { path: cluster, dispose: async () => {} };
  }
  const hash = createHash('sha256').update(cluster).digest('hex').slice(0, 16);
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const link = `/tmp/darkroom-${process.getuid?.()}-${hash}${attempt === 0 ? '' : `-${attempt}`}`;
    if (await linkTo(cluster, link)) {
      return { path: link, dispose: async () => await rm(link, { force: true }) };
    }
  }
  throw new Error(
    `The path of ${cluster} is too long for a socket, and no link to it can be made in /tmp.`,
  );
}

async function linkTo(cluster: string, link: string): Promise<boolean> {
  try {
    await symlink(cluster, link);
    return true;
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
    // Ours, of a service that was killed; or another user's, which leads who knows where.
    const entry = await lstat(link);
    if (!entry.isSymbolicLink() || entry.uid !== process.getuid?.()) return false;
    return (await readlink(link)) === cluster;
  }
}

/**
 * The connection string of one database of the cluster, as node-postgres, MikroORM and libpq read it:
 * a host that begins with a (percent-encoded) slash is the folder of the socket.
 */
export function connectionStringFor(folder: string, password: string, database: string): string {
  // sslmode, because a PGSSLMODE in the environment would otherwise ask for TLS on the socket.
  return `postgresql://${ROLE}:${password}@${encodeURIComponent(folder)}:5432/${database}?sslmode=disable`;
}

/**
 * Connects, makes sure that the service's database exists, and gives the server's version ("18.4").
 * Rejects when the server does not answer within 10 seconds.
 */
export async function greet(folder: string, password: string): Promise<string> {
  const client = new pg.Client({
    connectionString: connectionStringFor(folder, password, 'postgres'),
    connectionTimeoutMillis: 10_000,
    query_timeout: 10_000,
  });
  // A server that dies meanwhile makes the query reject; without a listener it would end the process.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ version: string; present: boolean }>(
      `select current_setting('server_version') as version,
              exists (select from pg_database where datname = $1) as present`,
      [ROLE],
    );
    const [row] = rows;
    if (row === undefined) throw new Error('The server answered without a row.');
    if (!row.present) await client.query(`create database ${ROLE}`);
    return row.version;
  } finally {
    // A polite end would wait for a server that hangs.
    client.connection.stream.destroy();
  }
}

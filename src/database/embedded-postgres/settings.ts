/** PostgreSQL settings by name, as in postgresql.conf. */
export type PostgresSettings = Readonly<Record<string, string>>;

const PORT = '5432';

/** The server's socket in its data directory. PostgreSQL makes the name from the port. */
export const SOCKET_FILE = `.s.PGSQL.${PORT}`;

const SETTINGS: PostgresSettings = {
  // No TCP at all: a socket has no port to collide on and no other user of the machine can reach it.
  listen_addresses: '',
  // Relative to the data directory, which PostgreSQL works in. So the path that it binds is short,
  // however deep the data folder lies, and needs no quoting.
  unix_socket_directories: '.',
  unix_socket_permissions: '0700',
  // Only names the socket file; an operator's PGPORT must not.
  port: PORT,
  cluster_name: 'darkroom',
  max_connections: '100',
  shared_buffers: '128MB',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Its log is standard error, which is a file of ours; every five minutes a checkpoint is no news.
  logging_collector: 'off',
  log_checkpoints: 'off',
};

const NOT_DURABLE: PostgresSettings = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
};

/**
 * The command line settings of a server. They are given there rather than in postgresql.conf, so
 * that they hold for clusters made by older versions of Darkroom too.
 */
export function serverArguments(
  dataDirectory: string,
  durable: boolean,
  extraSettings: PostgresSettings,
): string[] {
  const settings = { ...SETTINGS, ...(durable ? {} : NOT_DURABLE), ...extraSettings };
  return [
    '-D',
    dataDirectory,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

/**
 * Thrown when the database cannot be used by a start. The message says where it was looked for, why it cannot be
 * used and what to do; never the password.
 */
export class DatabaseConnectError extends Error {
  override readonly name = 'DatabaseConnectError';

  constructor(url: string, cause: unknown) {
    super(
      `Cannot connect to ${placeOf(url)}: ${whyOf(cause)}. Start it, or correct DATABASE_URL.`,
      {
        cause,
      },
    );
  }
}

function whyOf(cause: unknown): string {
  // Of a name with several addresses each has failed in its own way, and the whole has no message.
  if (cause instanceof AggregateError && cause.message === '') {
    return cause.errors.map(whyOf).join(', ');
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  return message.replace(/\.$/, '');
}

function placeOf(text: string): string {
  const url = URL.parse(text);
  if (url === null) {
    return 'PostgreSQL';
  }
  const server = `${url.hostname || 'localhost'}:${url.port || 5432}`;
  // Sockets are given as a parameter, since a folder makes no host.
  const host = url.hostname === '' ? (url.searchParams.get('host') ?? server) : server;
  const user = url.username === '' ? '' : ` as user ${decodeURIComponent(url.username)}`;
  return `PostgreSQL at ${host}, database ${decodeURIComponent(url.pathname.slice(1))}${user}`;
}

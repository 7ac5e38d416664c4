/** SQLSTATEs with which PostgreSQL says that it cannot serve just now (its manual, appendix A). */
const awayStates = new Set([
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P04', // database_dropped
  '57P05', // idle_session_timeout
  '25006', // read_only_sql_transaction: a primary that has become a standby
  '25P03', // idle_in_transaction_session_timeout
  '25P04', // transaction_timeout
]);

/** Classes of SQLSTATEs of the same kind: of the connection, and of disk, memory and connections that are used up. */
const awayClasses = ['08', '53'];

/** Error codes of a broken or refused connection. */
const awayErrnos = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'ENOENT', // the unix socket is not there
  'EAGAIN', // too many wait at the unix socket
  'ETIMEDOUT',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/**
 * What pg and pg-pool say without any code. A read that took too long is one too: a process that was frozen for
 * longer than that finds its timer over before it looks at the answer.
 */
const awayMessages =
  /connection terminated|connection ended unexpectedly|connection timeout|timeout exceeded when trying to connect|^timeout expired$|^query read timeout$|client has encountered a connection error|client was closed and is not queryable|cannot use a pool after calling end/i;

function isSqlState(code: string): boolean {
  return /^[0-9A-Z]{5}$/.test(code);
}

/**
 * Whether an error says that the database could not be reached, broke off, did not answer in time or has no room,
 * as opposed to that it refused a statement. Looks through the wrappers of the ORM.
 */
export function isDatabaseAway(error: unknown): boolean {
  for (let current = error, depth = 0; current instanceof Error && depth < 8; depth++) {
    const code = 'code' in current ? String(current.code) : '';
    if (
      awayStates.has(code) ||
      awayClasses.some((awayClass) => isSqlState(code) && code.startsWith(awayClass)) ||
      (awayErrnos.has(code) && isOfConnection(current)) ||
      isClosedToConnections(current, code) ||
      awayMessages.test(current.message)
    ) {
      return true;
    }
    current = current.cause ?? ('previous' in current ? current.previous : undefined);
  }
  return false;
}

/** An operator closed the database for a while (`alter database … allow_connections false`). */
function isClosedToConnections(error: Error, code: string): boolean {
  // 55000 stands for much else as well, and the text comes in the server's language.
  return code === '55000' && 'routine' in error && error.routine === 'CheckMyDatabase';
}

/** ENOENT and the like also come from files: those of connections name the call or are pg's. */
function isOfConnection(error: Error): boolean {
  const syscall = 'syscall' in error ? String(error.syscall) : '';
  return syscall === '' || /^(connect|read|write|getaddrinfo)/.test(syscall);
}

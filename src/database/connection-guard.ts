import type { Socket } from 'node:net';
import pg, { type ClientConfig, type Pool, type PoolClient } from 'pg';

/** How long a connection on which somebody waits may say nothing before the server is asked about it, in ms. */
const defaultSilenceMs = 20_000;
/** How long the server may take to say what a connection does, in ms; longer than that it is away. */
const askTimeoutMs = 5000;
/** How long the server may take to close a connection that was ended, in ms. */
const goodbyeMs = 1000;

// A session that waits for its client is not at work: what it has to say does not arrive.
const atWork = `
  select state = 'active' and wait_event_type is distinct from 'Client' as is_at_work
    from pg_stat_activity
   where pid = $1`;

/** Answers whether a session does something for its client. Rejects when the server does not answer. */
type Ask = (backendPid: number) => Promise<boolean>;

/** What pg knows of a connection and its types do not tell. */
class GuardedClient extends pg.Client {
  declare readonly connection: pg.Connection & { readonly stream: Socket };
  /** The pid of the session at the server. */
  declare readonly processID: number | null;
}

/**
 * Sees to it that whoever waits on a connection of a pool waits no longer than the connection lasts.
 *
 * - A connection that has ended leaves the pool, whoever has it. Kysely, beneath MikroORM, never gives back
 *   the one of a transaction that could not even be rolled back (kysely-org/kysely#1990): its place in the
 *   pool would be lost, and the pool could never be closed.
 * - A connection that says nothing while somebody waits, since its other end has vanished or hangs, is
 *   ended, unless the server says that it is at work for it: a migration may take its time.
 * - One that was ended, and that the server does not close, is cut off.
 */
export class ConnectionGuard {
  readonly #ask: Ask;
  readonly #clients = new Set<GuardedClient>();
  /** Those that somebody has. */
  readonly #taken = new Set<GuardedClient>();
  #silenceMs: number;

  /** @param silenceMs 20 s if not set. */
  constructor(url: string, silenceMs = defaultSilenceMs) {
    this.#ask = (pid) => askServer(url, pid);
    this.#silenceMs = silenceMs;
  }

  /** What a pool makes its connections of, for pg's option `Client`. */
  clientClass(): new (config?: ClientConfig) => pg.Client {
    const clients = this.#clients;
    return class extends GuardedClient {
      constructor(config?: ClientConfig) {
        super(config);
        clients.add(this);
        this.once('end', () => clients.delete(this));
      }
    };
  }

  /** Guards the connections of a pool of `clientClass`, which must have none yet. */
  watch(pool: Pool): void {
    pool.on('connect', (client) => this.#watchClient(client as PoolClient & GuardedClient));
    pool.on('acquire', (client) => this.#taken.add(client as unknown as GuardedClient));
    pool.on('release', (_, client) => this.#taken.delete(client as unknown as GuardedClient));
  }

  /** From now on no answer is waited for for longer than this, in ms, unless the server says that it is at work. */
  hurry(silenceMs: number): void {
    this.#silenceMs = Math.min(silenceMs, this.#silenceMs);
    for (const { connection } of this.#taken) {
      connection.stream.setTimeout(this.#silenceMs);
    }
  }

  /** Cuts every connection that there is. */
  cut(): void {
    for (const client of this.#clients) {
      client.connection.stream.destroy(new Error('Connection terminated: it was cut off'));
    }
  }

  #watchClient(client: PoolClient & GuardedClient): void {
    const { stream } = client.connection;
    stream.setTimeout(this.#silenceMs);
    stream.on('timeout', () => void this.#onSilence(client));
    stream.once('finish', () => stream.setTimeout(goodbyeMs));
    client.once('end', () => {
      if (this.#taken.has(client)) {
        client.release(true);
        // Who has it may give it back once more, and pg-pool would throw.
        client.release = () => {};
      }
    });
  }

  async #onSilence(client: GuardedClient): Promise<void> {
    const { stream } = client.connection;
    if (stream.writableEnded) {
      stream.destroy();
      return;
    }
    const { bytesRead } = stream;
    const isWaitedFor = (): boolean => this.#taken.has(client) && stream.bytesRead === bytesRead;
    // In the pool it has nothing to say.
    if (!isWaitedFor()) {
      return;
    }
    const isAtWork = await this.#ask(client.processID ?? 0).catch(isCrowded);
    if (!isWaitedFor()) {
      return;
    }
    if (isAtWork) {
      stream.setTimeout(this.#silenceMs);
    } else {
      const seconds = Math.round(this.#silenceMs / 1000);
      stream.destroy(
        new Error(`Connection terminated: PostgreSQL has not answered on it for ${seconds} s`),
      );
    }
  }
}

/** The server lives, but cannot be asked: whoever waits waits on. */
function isCrowded(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '53300';
}

async function askServer(url: string, backendPid: number): Promise<boolean> {
  const client = new GuardedClient({
    connectionString: url,
    application_name: 'darkroom guard',
    connectionTimeoutMillis: askTimeoutMs,
    query_timeout: askTimeoutMs,
  });
  // It also rejects what is waited for.
  client.on('error', () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ is_at_work: boolean }>(atWork, [backendPid]);
    return rows[0]?.is_at_work === true;
  } finally {
    client.connection.stream.destroy();
  }
}

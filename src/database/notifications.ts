import { Socket } from 'node:net';
import pg from 'pg';

/** Whom notifications go to. Both are called synchronously and must not throw. */
export interface NotificationListener {
  /** Something was notified. */
  onNotification(payload: string): void;
  /**
   * The connection listens, for the first time or again after a break. PostgreSQL keeps nothing for
   * those who are away: whatever was notified before is lost, so this is the time to catch up.
   */
  onListening(): void;
}

/** How a process listens. Times are in ms. */
export interface NotificationsOptions {
  /** `postgresql://user:password@host:port/database`; of the server itself, not of a pooler that shares sessions. */
  readonly url: string;
  /** The channel, an SQL identifier. */
  readonly channel: string;
  readonly listener: NotificationListener;
  /** Called once when the connection breaks or cannot be made; then not before it was made again. */
  readonly onWarning: (message: string) => void;
  /** How often the server is asked for a sign of life; 10 s if not set. */
  readonly checkIntervalMs?: number;
}

/** The first wait before another try to connect; doubles up to the longest. */
const shortestBackoffMs = 50;
const longestBackoffMs = 2000;
/** A server that does not answer for so long, or until it is asked again, is taken for gone. */
const answerTimeoutMs = 5000;
const defaultCheckIntervalMs = 10_000;

/**
 * Listens on one channel of PostgreSQL over a connection of its own, for as long as it is open: a
 * connection that breaks, or that is only half open, is replaced.
 */
export class Notifications {
  readonly #options: NotificationsOptions;
  readonly #checkIntervalMs: number;
  #isClosed = false;
  #hasWarned = false;
  /** Cuts what is under way: an attempt to connect, a connection, or the wait before the next attempt. */
  #cut: () => void = () => {};
  #running: Promise<void> | undefined;

  constructor(options: NotificationsOptions) {
    this.#options = options;
    this.#checkIntervalMs = options.checkIntervalMs ?? defaultCheckIntervalMs;
  }

  /** Begins to listen; returns at once. `onListening` tells when it does. Never fails: it tries again. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends the connection. Nothing is called any more once this is called. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cut();
    await this.#running;
  }

  async #run(): Promise<void> {
    let backoffMs = shortestBackoffMs;
    while (!this.#isClosed) {
      const connectedAt = performance.now();
      const problem = await this.#listenUntilBroken();
      if (this.#isClosed) {
        return;
      }
      if (performance.now() - connectedAt > longestBackoffMs) {
        backoffMs = shortestBackoffMs;
      }
      if (!this.#hasWarned) {
        this.#hasWarned = true;
        this.#options.onWarning(`Not listening to PostgreSQL (${problem}); trying again and again`);
      }
      // Spread, so that many processes do not come back to a restarted server in one instant.
      await this.#pause(backoffMs * (0.5 + Math.random() / 2));
      backoffMs = Math.min(backoffMs * 2, longestBackoffMs);
    }
  }

  /** Answers why it ended, once it has. */
  async #listenUntilBroken(): Promise<string> {
    // A socket of our own, since a half-open connection can only be destroyed: a polite end would wait.
    const socket = new Socket();
    const client = new pg.Client({
      connectionString: this.#options.url,
      application_name: 'darkroom listen',
      stream: () => socket,
      keepAlive: true,
      keepAliveInitialDelayMillis: this.#checkIntervalMs,
      connectionTimeoutMillis: answerTimeoutMs,
      query_timeout: Math.min(answerTimeoutMs, this.#checkIntervalMs),
    });
    const broken = new Promise<string>((resolve) => {
      client.on('error', (error) => resolve(error.message));
      client.on('end', () => resolve('the server ended the connection'));
      this.#cut = () => resolve('closed');
    });
    client.on('notification', ({ payload }) => {
      if (!this.#isClosed && payload !== undefined) {
        this.#options.listener.onNotification(payload);
      }
    });
    let checks: NodeJS.Timeout | undefined;
    try {
      const listening = this.#listen(client).then(() => {
        checks = this.#checkRegularly(client);
        return broken;
      });
      // What fails after `broken` was resolved has been told by then.
      listening.catch(() => {});
      return await Promise.race([listening, broken]);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      clearInterval(checks);
      socket.destroy();
    }
  }

  async #listen(client: pg.Client): Promise<void> {
    await client.connect();
    await client.query(`listen ${pg.escapeIdentifier(this.#options.channel)}`);
    this.#hasWarned = false;
    if (!this.#isClosed) {
      this.#options.listener.onListening();
    }
  }

  /** A connection whose other end vanished says nothing by itself; TCP would notice after minutes or never. */
  #checkRegularly(client: pg.Client): NodeJS.Timeout {
    return setInterval(() => {
      client.query('select 1').catch((error: Error) => client.emit('error', error));
    }, this.#checkIntervalMs);
  }

  async #pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#cut = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

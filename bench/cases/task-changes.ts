import type pg from 'pg';
import { monotonicMs } from '../monotonic-time.ts';

/** A change of a task; times by `monotonicMs`. */
export interface Change {
  readonly taskId: string;
  readonly revision: number;
  /** When the statement was sent. */
  readonly sent: number;
  /** When its commit was answered. */
  readonly committed: number;
}

const changeTask = `
  with changed as (
    update tasks set revision = revision + 1, update_time = clock_timestamp()
     where id = $1
    returning *)
  insert into task_events (
    task_id, revision, kind, state, phase, cause, fault_id, bytes_done, create_time)
  select id, revision, 'PHASE_CHANGED', state, phase, 'bench', null, committed_size, update_time
    from changed
  returning revision`;

/**
 * Changes tasks as another process of the service would: the row and its event in one transaction, whose
 * commit notifies.
 */
export class TaskChanger {
  readonly #client: pg.Client;

  constructor(client: pg.Client) {
    this.#client = client;
  }

  /** Makes one change, and commits it. */
  async change(taskId: string): Promise<Change> {
    const sent = monotonicMs();
    const { rows } = await this.#client.query<{ revision: string }>({
      name: 'change',
      text: changeTask,
      values: [taskId],
    });
    return { taskId, revision: Number(rows[0]?.revision), sent, committed: monotonicMs() };
  }
}

/** Measures bare LISTEN and NOTIFY, between two connections of this process. */
export class NotifyRoundTrip {
  readonly #sender: pg.Client;
  readonly #waiting = new Map<string, (at: number) => void>();
  #sent = 0;

  private constructor(sender: pg.Client, listener: pg.Client) {
    this.#sender = sender;
    listener.on('notification', ({ payload = '' }) => {
      this.#waiting.get(payload)?.(monotonicMs());
      this.#waiting.delete(payload);
    });
  }

  /** @param listener becomes the connection that listens. */
  static async begin(sender: pg.Client, listener: pg.Client): Promise<NotifyRoundTrip> {
    await listener.query('listen bench');
    return new NotifyRoundTrip(sender, listener);
  }

  /** Notifies once. */
  async notify(): Promise<{ sent: number; committed: number; at: number }> {
    this.#sent += 1;
    const payload = String(this.#sent);
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#waiting.set(payload, resolve);
    const sent = monotonicMs();
    await this.#sender.query({
      name: 'notify',
      text: `select pg_notify('bench', $1)`,
      values: [payload],
    });
    const committed = monotonicMs();
    return { sent, committed, at: await promise };
  }
}

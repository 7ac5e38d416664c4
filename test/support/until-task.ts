import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '../../src/database/database.ts';
import type { TaskId } from '../../src/records/ids.ts';

const timeoutMs = 60_000;
const intervalMs = 10;

/**
 * Resolves once a task's row fulfils an SQL condition, in which its values are `$2`, `$3` and so on. It asks so often
 * that it does so past the ORM, which takes ten times as long. What it is answered with when a test cuts the
 * connections of the database does not end the waiting.
 *
 * @throws with the row as it is, where that has not come to pass in a minute.
 */
export async function untilTask(
  { pool }: Database,
  taskId: TaskId,
  condition: string,
  ...values: readonly unknown[]
): Promise<void> {
  const query = `select *, (${condition}) as "isTrue" from tasks where id = $1`;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await pool
      .query<{ isTrue: boolean | null }>(query, [taskId, ...values])
      .catch((error: unknown) => String(error));
    if (typeof answer !== 'string' && answer.rows[0]?.isTrue) {
      return;
    }
    if (performance.now() > deadline) {
      const last = typeof answer === 'string' ? answer : JSON.stringify(answer.rows);
      throw new Error(`not within ${timeoutMs} ms: ${condition} (${values.join()}), but ${last}`);
    }
    await delay(intervalMs);
  }
}

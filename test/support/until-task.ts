import { setTimeout as delay } from 'node:timers/promises';
import type { Database } from '../../src/database/database.ts';
import type { TaskId } from '../../src/records/ids.ts';

const timeoutMs = 60_000;
const intervalMs = 10;

/**
 * Resolves once a task's row fulfils an SQL condition, in which its values are `$2`, `$3` and so on. It asks so often
 * that it does so past the ORM, which takes ten times as long.
 *
 * @throws with the row as it is, where that has not come to pass in a minute.
 */
export async function untilTask(
  { pool }: Database,
  taskId: TaskId,
  condition: string,
  ...values: readonly unknown[]
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const { rowCount } = await pool.query(`select from tasks where id = $1 and (${condition})`, [
      taskId,
      ...values,
    ]);
    if (rowCount === 1) {
      return;
    }
    if (performance.now() > deadline) {
      const { rows } = await pool.query('select * from tasks where id = $1', [taskId]);
      throw new Error(
        `${condition} (${values.join()}) has not come to pass: ${JSON.stringify(rows)}`,
      );
    }
    await delay(intervalMs);
  }
}

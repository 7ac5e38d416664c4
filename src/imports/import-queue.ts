import type { Database } from '../database/database.ts';
import type { TaskId } from '../domain/ids.ts';

/**
 * The imports that wait for a worker and are due, of each project the one that waits longest, and first
 * those of projects of which the fewest are fetched: so nobody waits for somebody else's thousand.
 *
 * A merge of the partial index tasks_to_import with import_orders by primary key; of those that wait, which
 * are not many, each is looked at.
 */
const dueImports = `
  with waiting as (
    select distinct on (t.project_id) t.id, t.project_id, o.next_try_time
      from tasks t join import_orders o on o.image_id = t.image_id
     where t.type = 'IMPORT' and t.state in ('PENDING', 'RUNNING') and t.writer_process_id is null
       and o.next_try_time <= now()
       and not t.id = any($1)
     order by t.project_id, o.next_try_time, t.id
  ), fetching as (
    select project_id, count(*) as fetched
      from tasks
     where type = 'IMPORT' and writer_process_id is not null
     group by project_id
  )
  select w.id
    from waiting w left join fetching f using (project_id)
   order by coalesce(f.fetched, 0), w.next_try_time, w.id
   limit 32`;

/** Answers the ids of imports to try to claim, in the order in which to try. @throws the driver's errors. */
export async function findDueImports(
  database: Database,
  except: readonly TaskId[],
): Promise<TaskId[]> {
  const { rows } = await database.pool.query<{ id: TaskId }>({
    name: 'due imports',
    text: dueImports,
    values: [except],
  });
  return rows.map(({ id }) => id);
}

/**
 * Moves on the expire_time of imports that wait only because the workers are busy: their time is for the
 * source, not for the queue. By the index tasks_expiring.
 */
const keepWaiting = `
  update tasks t
     set expire_time = now() + t.idle_timeout_ms * interval '1 ms', update_time = now()
   where t.id in (
         select id
           from tasks
          where type = 'IMPORT' and state in ('PENDING', 'RUNNING') and writer_process_id is null
            and expire_time > now()
            and expire_time < now() + idle_timeout_ms * interval '0.5 ms'
          order by id
            for no key update skip locked)`;

/** Says that imports which wait for a worker are not forgotten. @throws the driver's errors. */
export async function keepImportsWaiting(database: Database): Promise<void> {
  await database.pool.query({ name: 'keep imports waiting', text: keepWaiting });
}

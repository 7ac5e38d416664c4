import type { Database } from '../database/database.ts';
import type { TaskId } from '../records/ids.ts';

/**
 * The imports that wait for a worker and are due, the oldest of each project, in the order in which each
 * project gets the next lane that it would have the fewest of: so nobody waits for somebody else's thousand.
 *
 * One descent of the partial index tasks_to_import for each project, and one for its oldest imports, each
 * with its order by primary key: 0.3 ms where 20,000 imports of five projects wait.
 */
const dueImports = `
  with recursive projects as (
    (select project_id
       from tasks
      where type = 'IMPORT' and state in ('PENDING', 'RUNNING') and writer_process_id is null
      order by project_id
      limit 1)
    union all
    select (select t.project_id
              from tasks t
             where t.type = 'IMPORT' and t.state in ('PENDING', 'RUNNING')
               and t.writer_process_id is null and t.project_id > p.project_id
             order by t.project_id
             limit 1)
      from projects p
     where p.project_id is not null
  ), fetching as (
    select project_id, count(*) as fetched
      from tasks
     where writer_process_id is not null and type = 'IMPORT'
     group by project_id
  )
  select w.id
    from projects p
   cross join lateral (
         select t.id, t.create_time, row_number() over (order by t.create_time) as place
           from tasks t join import_orders o on o.image_id = t.image_id
          where t.type = 'IMPORT' and t.state in ('PENDING', 'RUNNING')
            and t.writer_process_id is null and t.project_id = p.project_id
            and o.next_try_time <= now()
            and not t.id = any($1)
          order by t.create_time
          limit 8) w
    left join fetching f on f.project_id = p.project_id
   order by coalesce(f.fetched, 0) + w.place, w.create_time, w.id
   limit 32`;

/** Answers the ids of imports to try to claim, in the order in which to try. @throws the driver's errors. */
export async function findDueImports(
  database: Database,
  except: readonly TaskId[],
): Promise<TaskId[]> {
  const { rows } = await database.run<{ id: TaskId }>({
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
  await database.run({ name: 'keep imports waiting', text: keepWaiting });
}

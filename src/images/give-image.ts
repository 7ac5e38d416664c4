import type { EntityManager } from '@mikro-orm/postgresql';
import type { Caller } from '../access/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { quoted } from '../domain/quoted.ts';
import type { Image } from '../records/image.ts';

/**
 * Gives an image, which is locked, to another project: with its tasks, their faults and their bytes, which count there from then
 * on. Uploads that are under way go on, for the new owner.
 *
 * The caller writes the image itself.
 *
 * @throws DarkroomError PROJECT_NOT_ALLOWED unless the caller is an admin who acts in any project; the quota's errors.
 */
export async function giveImage(
  em: EntityManager,
  caller: Caller,
  { id, projectId: giver }: Image,
  taker: string,
): Promise<void> {
  if (caller.actsAnywhere !== true) {
    throw new DarkroomError(
      'PROJECT_NOT_ALLOWED',
      `the caller may not give image ${id} to the project ${quoted(taker)}: that takes an admin, of a service whose admins act ` +
        'in any project (DARKROOM_ADMINS_ACT_IN)',
    );
  }
  // Of tasks the locks before those of quotas, as everywhere.
  await em.execute(`update tasks set project_id = ? where image_id = ?`, [taker, id]);
  await em.execute(`update faults set project_id = ? where image_id = ?`, [taker, id]);
  await em.execute(
    `update blobs set project_id = ?
      where id in (select blob_id from images where id = ?)
         or id in (select blob_id from tasks where image_id = ?)
         or unpacking_task_id in (select id from tasks where image_id = ?)`,
    [taker, id, id, id],
  );
  await em.execute(`delete from image_members where image_id = ? and member_project_id = ?`, [
    id,
    taker,
  ]);
  await em.execute(`select quota_lock(array[?, ?])`, [giver, taker]);
  await em.execute(
    `with used as materialized (
       select (select coalesce(sum(s.stored_bytes), 0)::bigint
                 from blobs b join blob_segments s on s.blob_id = b.id
                where b.state <> 'DELETING' and (
                  b.id in (select blob_id from images where id = ?)
                  or b.id in (select blob_id from tasks where image_id = ?)
                  or b.unpacking_task_id in (select id from tasks where image_id = ?))) as stored,
              (select coalesce(sum(stored_bytes), 0)::bigint from tasks
                where image_id = ? and state in ('PENDING', 'RUNNING')) as in_flight,
              (select count(*) from tasks where image_id = ? and state in ('PENDING', 'RUNNING')) as live
     )
     select quota_count(?, -stored, -in_flight, -1, -live, 0), quota_count(?, stored, in_flight, 1, live, 0)
       from used`,
    [id, id, id, id, id, giver, taker],
  );
}

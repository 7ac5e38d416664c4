import { validate } from 'uuid';
import type { Database } from '../../database/database.ts';
import { rowsById } from '../../database/rows-by-id.ts';
import { ownerOfNamespace } from '../../metadefs/find-metadefs.ts';
import type { ImageId, TaskId } from '../../records/ids.ts';
import { Image } from '../../records/image.ts';
import { Task } from '../../records/task.ts';
import type { HttpCall } from '../http/http-endpoints.ts';

/**
 * Has an admin who acts in any project go on in that of the image, the task or the namespace which the path of a call names:
 * OpenStack's clients name no project. As a member of an image an admin speaks for the own project alone.
 *
 * @param path the place's.
 */
export async function actForOwner(
  database: Database,
  { params, context, request }: HttpCall,
  path: string,
): Promise<void> {
  const { id, namespace } = params;
  if (
    (id ?? namespace) === undefined ||
    context.knownCaller === undefined ||
    context.caller.actsAnywhere !== true
  ) {
    return;
  }
  const { projectId } = context.caller;
  if (request.method === 'PUT' && params['member'] === projectId) {
    return;
  }
  const owner =
    namespace === undefined
      ? await ownerOf(database, id ?? '', path)
      : await ownerOfNamespace(database, namespace);
  if (owner !== undefined && owner !== projectId) {
    context.actIn(owner);
  }
}

async function ownerOf(database: Database, id: string, path: string): Promise<string | undefined> {
  if (!validate(id)) {
    return undefined;
  }
  const row = await (path.startsWith('/v2/tasks/')
    ? rowsById(database, Task).read(id.toLowerCase() as TaskId)
    : rowsById(database, Image).read(id.toLowerCase() as ImageId));
  return row?.projectId;
}

import { validate } from 'uuid';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { quoted } from '../../domain/quoted.ts';
import type { ImageId, TaskId } from '../../records/ids.ts';
import type { HttpCall } from '../http/http-endpoints.ts';

/** The image that a path names. @throws DarkroomError IMAGE_NOT_FOUND for what is no id. */
export function imageIdIn(call: HttpCall): ImageId {
  return idIn(call, 'IMAGE_NOT_FOUND') as ImageId;
}

/** The image that a call is about, also for the audit log. */
export function subject(call: HttpCall): ImageId {
  const imageId = imageIdIn(call);
  call.context.outcome.subject = { imageId };
  return imageId;
}

/** The task that a path names. @throws DarkroomError TASK_NOT_FOUND for what is no id. */
export function taskIdIn(call: HttpCall): TaskId {
  return idIn(call, 'TASK_NOT_FOUND') as TaskId;
}

/** What is no id names nothing: 404, as in Glance, and not a wrong field. */
function idIn({ params }: HttpCall, reason: 'IMAGE_NOT_FOUND' | 'TASK_NOT_FOUND'): string {
  const id = params['id'] ?? '';
  if (!validate(id)) {
    const kind = reason === 'TASK_NOT_FOUND' ? 'task' : 'image';
    throw new DarkroomError(reason, `There is no ${kind} ${quoted(id)} in this project.`);
  }
  return id.toLowerCase();
}

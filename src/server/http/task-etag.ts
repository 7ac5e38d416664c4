import type { Task } from '../../records/task.ts';
import { weakEtag } from './conditional-get.ts';

/** The etag of a task as it is told, by whichever road. Progress takes no revision, but moves the time. */
export function taskEtag({ revision, updateTime }: Pick<Task, 'revision' | 'updateTime'>): string {
  return weakEtag(revision, updateTime.getTime());
}

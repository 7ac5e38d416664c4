import type { Task } from '../../../gen/darkroom/v1/task_pb.ts';
import { Task_Type } from '../../../gen/darkroom/v1/task_pb.ts';
import { Link } from '../routing/link.tsx';
import { isLive } from '../words/task-words.ts';
import { uploads } from './upload-list.ts';

/** Leads from a task to its upload, where this browser sends it. */
export function ContinueUpload({ task }: { readonly task: Task }) {
  const isHere = uploads.value.some(({ stored }) => stored.taskId === task.id);
  return isHere && isLive(task.state) && task.type === Task_Type.UPLOAD ? (
    <Link to="/uploads" class="button button-plain">
      This browser’s upload
    </Link>
  ) : null;
}

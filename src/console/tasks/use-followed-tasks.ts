import type { MessageInitShape } from '@bufbuild/protobuf';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { Task } from '../../../gen/darkroom/v1/task_pb.ts';
import type { TaskFilterSchema } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { followTasks, type FollowedTasks } from './followed-tasks.ts';

/** Follows tasks for as long as a page is there. @param key another one begins anew. */
export function useFollowedTasks(
  key: string,
  filter: () => MessageInitShape<typeof TaskFilterSchema>,
  onChange: (task: Task) => void = () => {},
): FollowedTasks {
  const told = useRef(onChange);
  told.current = onChange;
  const followed = useMemo(() => followTasks(filter, (task) => told.current(task)), [key]);
  useEffect(() => followed.stop, [followed]);
  return followed;
}

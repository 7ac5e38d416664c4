import type { MessageInitShape } from '@bufbuild/protobuf';
import { signal, type ReadonlySignal } from '@preact/signals';
import type { Task } from '../../../gen/darkroom/v1/task_pb.ts';
import type { TaskFilterSchema } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { failureOf, type Failure } from '../service/failure.ts';
import { whileVisible } from '../service/pauses.ts';
import { client, learnFrom } from '../service/service.ts';
import { watchOptions } from '../service/watch-options.ts';
import { paceAfter, type Pace } from './task-rate.ts';

/** A task as it was last told, and how fast it goes. */
export interface FollowedTask {
  readonly task: Task;
  readonly pace: Pace | undefined;
}

/** More tasks than these are not kept; the oldest are let go. */
export const mostTasks = 10_000;

/** Tasks that are followed live. */
export interface FollowedTasks {
  /** All of them, newest first. Another list whenever any of them has changed, at most once a frame. */
  readonly all: ReadonlySignal<readonly FollowedTask[]>;
  /** Whether all that there are have been told. */
  readonly isWhole: ReadonlySignal<boolean>;
  /** Why nothing is told just now, if so. */
  readonly failure: ReadonlySignal<Failure | undefined>;
  readonly stop: () => void;
}

/**
 * Follows all tasks that match a filter. After a break they are listed anew, and those that are gone are gone.
 *
 * @param filter made anew for each time that somebody looks again: times in it may have moved on.
 * @param onChange told of each task that has changed, progress apart.
 */
export function followTasks(
  filter: () => MessageInitShape<typeof TaskFilterSchema>,
  onChange: (task: Task) => void = () => {},
): FollowedTasks {
  const all = signal<readonly FollowedTask[]>([]);
  const isWhole = signal(false);
  const failure = signal<Failure | undefined>(undefined);
  let known = new Map<string, FollowedTask>();
  let frame: number | undefined;

  const show = (): void => {
    frame ??= requestAnimationFrame(() => {
      frame = undefined;
      const newest = [...known.values()].toSorted((a, b) => (a.task.id < b.task.id ? 1 : -1));
      for (const { task } of newest.splice(mostTasks)) {
        known.delete(task.id);
      }
      all.value = newest;
    });
  };

  const put = (into: Map<string, FollowedTask>, task: Task): void => {
    const before = known.get(task.id)?.pace;
    const pace = paceAfter(before, Number(task.progress?.bytesDone ?? 0n), performance.now());
    into.set(task.id, { task, pace });
  };

  async function follow(signal: AbortSignal): Promise<void> {
    // Until the list is whole, what was there before stays.
    let told: Map<string, FollowedTask> | undefined;
    for await (const news of client.watchTasks(filter(), watchOptions(signal, failure))) {
      switch (news.kind) {
        case 'begin':
          told = new Map();
          break;
        case 'task':
          put(told ?? known, news.task);
          if (told === undefined) {
            onChange(news.task);
            show();
          }
          break;
        case 'synced':
          known = told ?? known;
          told = undefined;
          isWhole.value = true;
          show();
          break;
        case 'progress': {
          const into = told ?? known;
          const before = into.get(news.taskId);
          if (before !== undefined) {
            put(into, { ...before.task, progress: news.progress });
            show();
          }
          break;
        }
      }
    }
  }

  const stop = whileVisible(async (signal) => {
    try {
      await follow(signal);
    } catch (error) {
      if (!signal.aborted) {
        learnFrom(error);
        failure.value = failureOf(error);
      }
    }
  });
  return {
    all,
    isWhole,
    failure,
    stop: () => {
      stop();
      if (frame !== undefined) {
        cancelAnimationFrame(frame);
      }
    },
  };
}

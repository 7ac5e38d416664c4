import { signal, type ReadonlySignal } from '@preact/signals';
import type { Task, TaskEvent } from '../../../gen/darkroom/v1/task_pb.ts';
import { failureOf, type Failure } from '../service/failure.ts';
import { whileVisible } from '../service/pauses.ts';
import { client, learnFrom, tasks } from '../service/service.ts';
import { watchOptions } from '../service/watch-options.ts';
import { paceAfter, type Pace } from './task-rate.ts';

/** More events than these of one task are not read. */
const mostEvents = 5000;
const eventsPerPage = 1000;

/** A task with all that happened to it, live. */
export interface TaskStory {
  readonly task: ReadonlySignal<Task | undefined>;
  /** Oldest first. */
  readonly events: ReadonlySignal<readonly TaskEvent[]>;
  readonly pace: ReadonlySignal<Pace | undefined>;
  readonly failure: ReadonlySignal<Failure | undefined>;
  readonly stop: () => void;
}

/** Follows one task until it has ended. Its history is read once, and goes on by what the watch tells. */
export function followTask(taskId: string): TaskStory {
  const task = signal<Task | undefined>(undefined);
  const events = signal<readonly TaskEvent[]>([]);
  const pace = signal<Pace | undefined>(undefined);
  const failure = signal<Failure | undefined>(undefined);

  const put = (newer: Task): void => {
    task.value = newer;
    pace.value = paceAfter(pace.value, Number(newer.progress?.bytesDone ?? 0n), performance.now());
  };

  async function follow(signal: AbortSignal): Promise<void> {
    for await (const news of client.watchTask(taskId, watchOptions(signal, failure))) {
      switch (news.kind) {
        case 'snapshot':
          put(news.task);
          events.value = await readEvents(taskId, signal);
          break;
        case 'update': {
          put(news.task);
          // What was read with the snapshot may be newer than that.
          const last = events.value.at(-1)?.revision ?? 0n;
          if (news.event.revision > last) {
            events.value = [...events.value, news.event];
          }
          break;
        }
        case 'progress':
          if (task.value !== undefined) {
            put({ ...task.value, progress: news.progress });
          }
          break;
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
  return { task, events, pace, failure, stop };
}

async function readEvents(taskId: string, signal: AbortSignal): Promise<TaskEvent[]> {
  const read: TaskEvent[] = [];
  let pageToken = '';
  do {
    const page = await tasks.listTaskEvents(
      { taskId, pageSize: eventsPerPage, pageToken },
      { signal },
    );
    read.push(...page.events);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && read.length < mostEvents);
  return read;
}

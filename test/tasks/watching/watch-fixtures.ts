import { beforeEach, onTestFinished } from 'vitest';
import type { Database } from '../../../src/database/database.ts';
import type { TaskId } from '../../../src/records/ids.ts';
import { watchTask, type WatchTaskMessage } from '../../../src/tasks/watching/watch-task.ts';
import { useOpenDatabase } from '../../support/test-database.ts';
import { member, startWatchProcess, type WatchProcess } from '../task-fixtures.ts';

/** What the watches of a test file read from, all on one database. */
export interface WatchProcesses {
  readonly database: () => Database;
  /** One for each test. */
  readonly process: () => WatchProcess;
  /** Starts one more. */
  readonly another: () => WatchProcess;
}

/** A database for all tests of the file, and for each test a process as far as watches go. */
export function useWatchProcess(): WatchProcesses {
  const opened = useOpenDatabase();
  const another = (): WatchProcess => startWatchProcess(opened());
  let process: WatchProcess | undefined;
  beforeEach(() => {
    process = another();
  });
  return {
    database: () => opened().database,
    process() {
      if (!process) {
        throw new Error('the process is there only while a test runs');
      }
      return process;
    },
    another,
  };
}

/** A watch that is under way, with what it has told so far. */
export interface Watching<Message> {
  readonly messages: Message[];
  /** Waits until `condition` holds for what was told; fails after 10 s. */
  until(condition: (messages: readonly Message[]) => boolean): Promise<void>;
  /** Settles when the watch has ended; rejects with its error. */
  readonly ended: Promise<void>;
  /** The caller goes away. */
  leave(): void;
}

/** Reads a watch as fast as it tells. */
export function collect<Message>(
  begin: (signal: AbortSignal) => AsyncIterable<Message>,
): Watching<Message> {
  const gone = new AbortController();
  const messages: Message[] = [];
  let told = (): void => {};
  const read = async (): Promise<void> => {
    for await (const message of begin(gone.signal)) {
      messages.push(message);
      told();
    }
  };
  const ended = read();
  ended.catch(() => {});
  const leave = (): void => gone.abort(new Error('the caller left'));
  onTestFinished(leave);
  return {
    messages,
    ended,
    leave,
    until: async (condition) => {
      const limit = Promise.withResolvers<never>();
      const timer = setTimeout(() => {
        limit.reject(new Error(`not told in time; so far: ${messages.length} messages`));
      }, 10_000);
      const over = ended.then(() => {
        throw new Error('the watch ended before');
      });
      over.catch(() => {});
      while (!condition(messages)) {
        const next = new Promise<void>((resolve) => {
          told = resolve;
        });
        await Promise.race([next, over, limit.promise]);
      }
      clearTimeout(timer);
    },
  };
}

/** What a test may choose of a watch. */
export interface WatchChoices {
  readonly resumeToken?: string;
  readonly progressIntervalMs?: number;
  readonly heartbeatIntervalMs?: number;
  readonly drainSignal?: AbortSignal;
}

/** Watches a task on one process. */
export function watch(
  process: WatchProcess,
  taskId: TaskId,
  choices: WatchChoices = {},
): Watching<WatchTaskMessage> {
  const { drainSignal = new AbortController().signal, ...request } = choices;
  return collect((signal) =>
    watchTask(
      process.trails,
      member,
      {
        taskId,
        resumeToken: '',
        progressIntervalMs: undefined,
        heartbeatIntervalMs: undefined,
        ...request,
      },
      { signal, drainSignal },
    ),
  );
}

/** The revisions of the events that were told. */
export function revisionsOf(messages: readonly WatchTaskMessage[]): number[] {
  return messages.flatMap((message) =>
    message.kind === 'update' ? [message.record.event.revision] : [],
  );
}

/** The kinds of the messages, in their order. */
export function kindsOf(messages: readonly { readonly kind: string }[]): string[] {
  return messages.map(({ kind }) => kind);
}

import { setTimeout as sleep } from 'node:timers/promises';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Task_State, type Task, type TaskEvent } from '../gen/darkroom/v1/task_pb.ts';
import type { WatchTaskResponse } from '../gen/darkroom/v1/task_service_pb.ts';
import { readFailure } from './call-failure.ts';
import type { Connection } from './connection.ts';
import type { Journal } from './journal.ts';
import type { Random } from './random.ts';

/** A watch with a heartbeat a second that says nothing for so long is dead, in ms: longer than a coma. */
const silenceMs = 25_000;
/** Reasons for which a watch breaks off and is taken up again. */
const passingReasons: ReadonlySet<string | undefined> = new Set([
  undefined,
  'SERVER_DRAINING',
  'DATABASE_UNAVAILABLE',
]);

/** What a watcher works with. */
export interface TaskWatcherParts {
  readonly taskId: string;
  /** For people: which upload it is. */
  readonly name: string;
  readonly connect: () => Connection;
  readonly random: Random;
  readonly journal: Journal;
}

/**
 * Follows a task by its resume tokens, across every break, and keeps the events that it was told.
 * "Each once, in order, across disconnects and replicas."
 */
export class TaskWatcher {
  readonly taskId: string;
  readonly #parts: TaskWatcherParts;
  readonly #events: TaskEvent[] = [];
  /** Resolves when the watch has ended after the terminal event. */
  readonly ended: Promise<void>;
  #token = '';
  #revision = 0n;
  #firstRevision = 0n;
  #bytesDone = 0n;
  #isTerminal = false;
  #isLeft = false;

  constructor(parts: TaskWatcherParts) {
    this.#parts = parts;
    this.taskId = parts.taskId;
    this.ended = this.#follow();
  }

  /** Follows it no more. */
  leave(): void {
    this.#isLeft = true;
  }

  /** How far the watch is, for people. */
  get standing(): string {
    return `at revision ${this.#revision}${this.#isTerminal ? ', terminal' : ''}`;
  }

  /** Compares what was told with the whole list of the task's events, oldest first. */
  compare(all: readonly TaskEvent[]): void {
    const { journal, name } = this.#parts;
    const terminal = all.find(({ state }) => isTerminal(state))?.revision ?? 0n;
    // One that breaks just after the terminal event may be told of the retry when it is taken up again.
    const last = this.#revision > terminal ? this.#revision : terminal;
    const expected = all.filter(
      ({ revision }) => revision > this.#firstRevision && revision <= last,
    );
    const told = this.#events.map(describe).join('; ');
    const listed = expected.map(describe).join('; ');
    if (told !== listed) {
      journal.violate(
        `${name}: the watch of task ${this.taskId} was told [${told}] after revision ${this.#firstRevision}, and its events are [${listed}]`,
      );
    }
  }

  async #follow(): Promise<void> {
    const { connect, random, journal, name } = this.#parts;
    while (!this.#isLeft) {
      const connection = connect();
      try {
        await this.#watchOnce(connection);
        if (this.#isTerminal) {
          return;
        }
        if (!this.#isLeft) {
          journal.violate(`${name}: a watch ended well before the task was terminal`);
        }
      } catch (error) {
        const failure = readFailure(error);
        if (!passingReasons.has(failure.reason)) {
          journal.violate(`${name}: a watch ${this.standing} got ${failure.message}`);
        }
      } finally {
        connection.cut();
      }
      journal.counts.add('watches taken up again');
      await sleep(random.int(20, 300));
    }
  }

  async #watchOnce(connection: Connection): Promise<void> {
    const { random, taskId, journal, name } = this.#parts;
    const silence = new AbortController();
    const onSilence = (): void => {
      journal.violate(`${name}: a watch said nothing for ${silenceMs / 1000} s`);
      silence.abort();
    };
    let timer = setTimeout(onSilence, silenceMs);
    let messagesLeft = random.chance(0.3) ? random.int(1, 8) : Number.POSITIVE_INFINITY;
    try {
      const watch = connection.tasks.watchTask(
        {
          taskId,
          resumeToken: this.#token,
          progressInterval: durationFromMs(100),
          heartbeatInterval: durationFromMs(1000),
        },
        connection.unbounded(silence.signal),
      );
      for await (const message of watch) {
        clearTimeout(timer);
        timer = setTimeout(onSilence, silenceMs);
        this.#take(message);
        messagesLeft -= 1;
        if (this.#isLeft || messagesLeft <= 0) {
          connection.cut();
        }
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #take({ content, resumeToken, missedRevisions }: WatchTaskResponse): void {
    const { journal, name } = this.#parts;
    if (this.#isTerminal && content.case !== 'update') {
      journal.violate(`${name}: a watch said ${content.case} after the terminal event`);
    }
    switch (content.case) {
      case 'snapshot':
        if (this.#token !== '' || missedRevisions !== 0n) {
          journal.violate(`${name}: a watch with a token was told a snapshot`);
        }
        this.#firstRevision = content.value.revision;
        this.#revision = content.value.revision;
        this.#isTerminal = isTerminal(content.value.state);
        this.#takeBytes(content.value.progress);
        break;
      case 'update':
        this.#takeEvent(content.value.event);
        this.#takeBytes(content.value.task?.progress);
        break;
      case 'progress':
        this.#takeBytes(content.value);
        break;
      case 'heartbeat':
      case undefined:
        break;
    }
    this.#token = resumeToken;
  }

  #takeEvent(event: TaskEvent | undefined): void {
    const { journal, name } = this.#parts;
    if (event?.revision !== this.#revision + 1n) {
      journal.violate(
        `${name}: a watch ${this.standing} was told revision ${event?.revision} next`,
      );
    }
    if (event) {
      this.#revision = event.revision;
      this.#events.push(event);
      this.#isTerminal ||= isTerminal(event.state);
    }
  }

  #takeBytes(progress: Task['progress']): void {
    const { journal, name } = this.#parts;
    const bytesDone = progress?.bytesDone ?? 0n;
    if (bytesDone < this.#bytesDone) {
      journal.violate(`${name}: a watch was told ${bytesDone} bytes after ${this.#bytesDone}`);
    }
    this.#bytesDone = bytesDone;
  }
}

function isTerminal(state: Task_State): boolean {
  return (
    state === Task_State.SUCCEEDED || state === Task_State.FAILED || state === Task_State.CANCELLED
  );
}

function describe({ revision, kind, state, phase, fault }: TaskEvent): string {
  return `${revision} kind ${kind} state ${state} phase ${phase} ${fault?.reason ?? ''}`;
}

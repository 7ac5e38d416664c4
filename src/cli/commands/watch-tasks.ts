import { isTerminal, TaskSchema, type DarkroomClient, type Task } from '../../client/exports.ts';
import type { CommandContext } from '../command-context.ts';
import { bytesText, durationText } from '../output/amounts.ts';
import { LiveLines } from '../output/live.ts';
import { Rate } from '../output/rate.ts';
import { jsonLine, recordText, type RecordFormat } from '../output/record-format.ts';
import { shownText } from '../output/shown-text.ts';
import { tableLines, type Column } from '../output/table.ts';
import { phaseWord, progressText, stateCell, typeWord } from '../words/task-words.ts';
import { imageNames, taskColumns } from './task-table.ts';

/** How often the table is drawn again, in ms, for ages and rates. */
const drawMs = 500;

/** What is known of one task while it is followed. */
interface Followed {
  task: Task;
  readonly rate: Rate;
}

/**
 * Follows tasks until the user wants no more: as a table that is drawn again and again on a terminal, else as a line for each
 * change; for programs each change as JSON on a line, or by the template.
 */
export async function watchTasks(
  context: CommandContext,
  client: DarkroomClient,
  filter: Parameters<DarkroomClient['watchTasks']>[0],
  format: RecordFormat | undefined,
): Promise<void> {
  const { signal, out } = context;
  const table = format === undefined && out.isTerminal ? new LiveTable(context, client) : undefined;
  const say = format === undefined ? changeLine : (task: Task): string => programLine(format, task);
  const last = new Map<string, bigint>();
  try {
    const news = client.watchTasks(filter, {
      signal,
      onConnection: (connection) => table?.connection(connection),
    });
    for await (const one of news) {
      if (table !== undefined) {
        table.take(one);
      } else if (one.kind === 'task' && last.get(one.task.id) !== one.task.revision) {
        // After a break all are told again.
        last.set(one.task.id, one.task.revision);
        out.write(say(one.task));
      }
    }
  } finally {
    table?.end();
  }
}

function programLine(format: RecordFormat, task: Task): string {
  return format.as === 'json' ? jsonLine(TaskSchema, task) : recordText(format, TaskSchema, task);
}

function changeLine(task: Task): string {
  const { state, lastFault } = task;
  const text = stateCell(state, plain).text;
  const fault = lastFault === undefined ? '' : `  ${lastFault.reason}`;
  return `${task.id}  ${typeWord(task)}  ${text}  ${phaseWord(task) || '-'}  ${progressText(task.progress)}${fault}\n`;
}

const same = (text: string): string => text;
const plain = { bold: same, dim: same, good: same, bad: same, warn: same, accent: same };

type News = ReturnType<DarkroomClient['watchTasks']> extends AsyncGenerator<infer T> ? T : never;
type Connection = { readonly state: string; readonly error?: Error };

/** The tasks that are followed, as a table on a terminal: those that go on first, then those that ended last. */
class LiveTable {
  readonly #context: CommandContext;
  readonly #client: DarkroomClient;
  readonly #live: LiveLines;
  readonly #followed = new Map<string, Followed>();
  readonly #names = new Map<string, string>();
  readonly #wanted = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  /** Those that were told since the list began anew. */
  #told: Set<string> | undefined;
  #isSynced = false;
  #trouble: string | undefined;

  constructor(context: CommandContext, client: DarkroomClient) {
    this.#context = context;
    this.#client = client;
    this.#live = new LiveLines(context.out);
    this.#timer = setInterval(() => void this.#drawNamed(), drawMs);
  }

  connection(connection: Connection): void {
    this.#trouble =
      connection.error === undefined ? undefined : shownText(connection.error.message);
    this.#draw();
  }

  take(news: News): void {
    switch (news.kind) {
      case 'begin':
        this.#told = new Set();
        break;
      case 'task': {
        const { task } = news;
        this.#told?.add(task.id);
        const followed = this.#followed.get(task.id) ?? { task, rate: new Rate() };
        followed.task = task;
        followed.rate.add(Number(followed.task.progress?.bytesDone ?? 0n));
        this.#followed.set(task.id, followed);
        if (!this.#names.has(task.imageId)) {
          this.#wanted.add(task.imageId);
        }
        break;
      }
      case 'synced':
        for (const id of this.#followed.keys()) {
          if (this.#told?.has(id) === false) {
            this.#followed.delete(id);
          }
        }
        this.#told = undefined;
        this.#isSynced = true;
        void this.#drawNamed();
        break;
      case 'progress': {
        const followed = this.#followed.get(news.taskId);
        if (followed !== undefined) {
          followed.task = { ...followed.task, progress: news.progress };
          followed.rate.add(Number(followed.task.progress?.bytesDone ?? 0n));
        }
      }
    }
  }

  /** Leaves the last table on the terminal. */
  end(): void {
    clearInterval(this.#timer);
    const lines = this.#isSynced ? this.#lines() : [];
    this.#live.end();
    lines.forEach((line) => this.#context.out.line(line));
  }

  async #drawNamed(): Promise<void> {
    const some = [...this.#wanted].map((imageId) => ({ imageId }));
    if (some.length > 0) {
      this.#wanted.clear();
      try {
        const names = await imageNames(this.#client, some, this.#context.signal);
        names.forEach((name, id) => this.#names.set(id, name));
      } catch {
        // Without their names they are shown all the same.
      }
    }
    this.#draw();
  }

  #draw(): void {
    if (this.#isSynced || this.#trouble !== undefined) {
      this.#live.draw(this.#lines());
    }
  }

  #lines(): string[] {
    const { out } = this.#context;
    const { style } = out;
    const all = [...this.#followed.values()].sort(byUrgency);
    const going = all.filter(({ task }) => !isTerminal(task.state)).length;
    const trouble =
      this.#trouble === undefined ? [] : [style.warn(`not connected: ${this.#trouble}`)];
    // Titles, the line below, trouble, and the cursor's own line.
    const room = Math.max(1, out.rows - 3 - trouble.length);
    const shown = all.slice(0, room).map(({ task }) => task);
    const [id, type, image, state, doing, bytes, ...rest] = taskColumns(
      shown,
      this.#names,
      true,
      out,
    );
    const columns = [id, type, image, state, doing, bytes, this.#rate(), this.#left(), ...rest];
    const left = all.length - shown.length;
    const more = left > 0 ? `, ${left} not shown` : '';
    return [
      ...tableLines(
        columns.filter((column) => column !== undefined),
        shown,
        out,
      ),
      style.dim(`${going} going on, ${all.length - going} ended${more}; Ctrl-C ends`),
      ...trouble,
    ];
  }

  #rate(): Column<Task> {
    return {
      title: 'RATE',
      cell: (task) => {
        const rate = this.#followed.get(task.id)?.rate.bytesPerSecond ?? 0;
        return isTerminal(task.state) || rate <= 0 ? '' : `${bytesText(rate)}/s`;
      },
      align: 'right',
    };
  }

  #left(): Column<Task> {
    return {
      title: 'LEFT',
      cell: (task) => {
        const rate = this.#followed.get(task.id)?.rate.bytesPerSecond ?? 0;
        const { bytesDone = 0n, bytesTotal } = task.progress ?? {};
        return isTerminal(task.state) || rate <= 0 || bytesTotal === undefined
          ? ''
          : durationText((Number(bytesTotal - bytesDone) / rate) * 1000);
      },
      align: 'right',
    };
  }
}

/** Those that go on first, of either the newest first. */
function byUrgency({ task: a }: Followed, { task: b }: Followed): number {
  const ended = Number(isTerminal(a.state)) - Number(isTerminal(b.state));
  return ended !== 0 ? ended : a.id < b.id ? 1 : -1;
}

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { keepTrackOf, type Stage } from './stage.ts';

/** What a script can be asked: functions of one argument, by name. */
export type Commands<T> = { [Name in keyof T]: (argument: never) => Promise<unknown> };

/** A script in a process of its own, so that its CPU time is not that of what is measured. */
export interface Script<T extends Commands<T>> {
  readonly pid: number;
  /** Has the script run one of its commands. @throws what the command threw. */
  ask<Name extends keyof T & string>(
    name: Name,
    argument: Parameters<T[Name]>[0],
  ): Promise<AnswerOf<T[Name]>>;
  /** Ends the process. */
  stop(): Promise<void>;
}

type AnswerOf<Command> = Command extends (argument: never) => Promise<infer Value> ? Value : never;

interface Question {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

type Answer = { readonly id: number } & ({ readonly value: unknown } | { readonly error: string });

/** Starts a script that calls `answerCommands`. */
export function startScript<T extends Commands<T>>(stage: Stage, script: URL): Script<T> {
  // Detached: Ctrl-C is for the benchmark, which then ends its scripts.
  const child = fork(script, { serialization: 'advanced', detached: true });
  keepTrackOf(child);
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let asked = 0;
  child.on('message', (answer: Answer) => {
    const question = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ('error' in answer) {
      question?.reject(new Error(`${script.pathname}: ${answer.error}`));
    } else {
      question?.resolve(answer.value);
    }
  });
  const exited = once(child, 'exit').then(([code]: unknown[]) => {
    for (const question of waiting.values()) {
      question.reject(new Error(`${script.pathname} has ended with ${String(code)}`));
    }
  });
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  stage.defer(stop);
  return {
    pid: child.pid ?? 0,
    async ask(name, argument) {
      asked += 1;
      const question = Promise.withResolvers<unknown>();
      waiting.set(asked, question);
      child.send({ id: asked, name, argument } satisfies Question);
      return (await question.promise) as AnswerOf<T[typeof name]>;
    },
    stop,
  };
}

/** In the script: answers what it is asked, until the process that started it is gone. */
export function answerCommands<T extends Commands<T>>(commands: T): void {
  process.on('message', (question: Question) => {
    void answer(commands, question).then((reply) => process.send?.(reply));
  });
  process.on('disconnect', () => process.exit());
}

async function answer<T extends Commands<T>>(commands: T, question: Question): Promise<Answer> {
  const { id, name, argument } = question;
  try {
    return { id, value: await commands[name as keyof T](argument as never) };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

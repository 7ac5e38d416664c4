import type { Database } from '../../src/database/database.ts';

/** A database whose hot statements are told of when they are done, and whose answers can be kept from who asked. */
export interface ObservedDatabase {
  readonly watched: Database;
  /** Of the statements, in their order. */
  readonly names: readonly string[];
}

/** @param afterwards called with the name of each statement that was done; what it throws is the answer. */
export function observed(
  real: Database,
  afterwards: (name: string) => void | Promise<void> = () => {},
): ObservedDatabase {
  const names: string[] = [];
  const watched = Object.create(real, {
    run: {
      value: async (statement: Parameters<Database['run']>[0]) => {
        const result = await real.run(statement);
        names.push(statement.name);
        await afterwards(statement.name);
        return result;
      },
    },
    runForProjects: {
      value: (statement: Parameters<Database['run']>[0]) => real.runForProjects(statement),
    },
    fork: { value: () => real.fork() },
    pool: { value: real.pool },
  }) as Database;
  return { watched, names };
}

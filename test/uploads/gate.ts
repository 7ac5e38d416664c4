import type { Database } from '../../src/database/database.ts';
import type { Statement } from '../../src/database/statement.ts';
import type { BlobStore } from '../../src/storage/blob-store.ts';
import { alteredStore } from '../storage/altered-store.ts';

/**
 * Stands between a world and what it works on. Closed, nothing passes: a process that is stopped, or
 * dead. What was under way when it was closed ends as it would have.
 */
export class Gate {
  #opening: PromiseWithResolvers<void> | undefined;

  /** Lets nothing pass any more. */
  close(): void {
    this.#opening ??= Promise.withResolvers();
  }

  /** Lets everything pass that waits. */
  open(): void {
    this.#opening?.resolve();
    this.#opening = undefined;
  }

  /** Resolves once the gate is open. */
  async pass(): Promise<void> {
    while (this.#opening) {
      await this.#opening.promise;
    }
  }

  /** A database behind the gate. */
  readonly database = (database: Database): Database => {
    const pool = this.#guard(database.pool, ['query', 'connect']);
    return new Proxy(database, {
      get: (target, property) => {
        switch (property) {
          case 'pool':
            return pool;
          case 'run':
          case 'runForProjects':
            return async (statement: Statement) => {
              await this.pass();
              return target[property](statement);
            };
          case 'fork':
            return () => this.#guard(target.fork(), ['transactional', 'findOne', 'find']);
          default:
            return Reflect.get(target, property, target);
        }
      },
    });
  };

  /** A store behind the gate, with all that it opens. */
  readonly store = (store: BlobStore): BlobStore => {
    const names = ['openWriter', 'openReader', 'heldBytes', 'complete', 'remove', 'check'];
    const guarded = this.#guard(store, names);
    return {
      heldBytes: (id) => guarded.heldBytes(id),
      complete: (id, length) => guarded.complete(id, length),
      remove: (id) => guarded.remove(id),
      check: () => guarded.check(),
      list: () => store.list(),
      openWriter: async (id, length) =>
        this.#guard(await guarded.openWriter(id, length), [
          'append',
          'appendHole',
          'persist',
          'read',
          'complete',
        ]),
      openReader: async (id) => this.#guard(await guarded.openReader(id), ['read']),
    };
  };

  /** A store that is read behind the gate, and written before it. */
  readonly reads = (store: BlobStore): BlobStore => {
    return alteredStore(store, {
      openReader: async (id) => this.#guard(await store.openReader(id), ['read']),
      openWriter: async (id, length) => this.#guard(await store.openWriter(id, length), ['read']),
    });
  };

  #guard<T extends object>(target: T, methods: readonly string[]): T {
    return new Proxy(target, {
      get: (_, property) => {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== 'function') {
          return value;
        }
        return methods.includes(String(property))
          ? async (...args: unknown[]): Promise<unknown> => {
              await this.pass();
              return value.apply(target, args);
            }
          : bound(value, target);
      },
    });
  }
}

function bound(value: unknown, target: object): unknown {
  return typeof value === 'function' ? value.bind(target) : value;
}

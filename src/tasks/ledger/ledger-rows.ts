import type { EntityClass, RequiredEntityData } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import { Blob, BlobSegment, type BlobState } from '../../records/blob.ts';
import type { BlobId } from '../../records/ids.ts';

/** Takes the rows that a change writes besides its task and its image; they are written with these, or not at all. */
export interface LedgerRows {
  /** Adds a row, and answers it. */
  add<T extends object>(entity: EntityClass<T>, row: RequiredEntityData<T>): T;
  /** Adds a segment, or changes the one that has its id. */
  putSegment(segment: BlobSegment): void;
  /** Changes the state of a blob. */
  setBlobState(id: BlobId, state: BlobState): void;
}

/** The rows of a change that is a unit of work. */
export class TrackedRows implements LedgerRows {
  readonly #em: EntityManager;
  readonly #now: Date;
  readonly #pending: (() => Promise<unknown>)[] = [];

  constructor(em: EntityManager, now: Date) {
    this.#em = em;
    this.#now = now;
  }

  add<T extends object>(entity: EntityClass<T>, row: RequiredEntityData<T>): T {
    const created = this.#em.create(entity, row);
    this.#em.persist(created);
    return created;
  }

  putSegment(segment: BlobSegment): void {
    this.#pending.push(() => this.#em.upsert(BlobSegment, segment));
  }

  setBlobState(id: BlobId, state: BlobState): void {
    const change = { state, updateTime: this.#now };
    this.#pending.push(() => this.#em.nativeUpdate(Blob, { id }, change));
  }

  /** To be called before the transaction ends. @throws the driver's errors. */
  async write(): Promise<void> {
    for (const write of this.#pending.splice(0)) {
      await write();
    }
  }
}

/** The rows of a change that one statement writes. */
export class CollectedRows implements LedgerRows {
  readonly #added = new Map<EntityClass<object>, object[]>();
  readonly segments: BlobSegment[] = [];
  readonly blobStates: { readonly id: BlobId; readonly state: BlobState }[] = [];

  add<T extends object>(entity: EntityClass<T>, row: RequiredEntityData<T>): T {
    const added = row as unknown as T;
    const others = this.#added.get(entity);
    if (others) {
      others.push(added);
    } else {
      this.#added.set(entity, [added]);
    }
    return added;
  }

  /** Those that were added of an entity. */
  of<T extends object>(entity: EntityClass<T>): readonly T[] {
    return (this.#added.get(entity) ?? []) as T[];
  }

  /** The entities of which rows were added. */
  get entities(): readonly EntityClass<object>[] {
    return [...this.#added.keys()];
  }

  putSegment(segment: BlobSegment): void {
    this.segments.push(segment);
  }

  setBlobState(id: BlobId, state: BlobState): void {
    this.blobStates.push({ id, state });
  }
}

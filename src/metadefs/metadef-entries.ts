import type { EntityManager } from '@mikro-orm/postgresql';
import type { Caller } from '../access/caller.ts';
import { metadefIsSeen, visibleProject } from '../access/rights.ts';
import type { Database } from '../database/database.ts';
import { databaseTime } from '../database/database-time.ts';
import { readsFor } from '../database/reads-for-projects.ts';
import { invalidField } from '../domain/darkroom-error.ts';
import { newId, type MetadefEntryId } from '../records/ids.ts';
import { MetadefEntry, type MetadefKind } from '../records/metadef-entry.ts';
import type { MetadefNamespace } from '../records/metadef-namespace.ts';
import { checkEntries, maxContentBytes, maxEntries } from './check-metadefs.ts';
import { changeNamespace, readEntries, readNamespace } from './find-metadefs.ts';
import { entryExists, entryNotFound, namespaceProtected } from './metadef-errors.ts';
import type { EntryFields } from './metadef-requests.ts';

/** A type of resources that some namespace is meant for. */
export interface ResourceType {
  readonly name: string;
  readonly createTime: Date;
  readonly updateTime: Date;
}

/** What namespaces have: objects, properties, tags and the types of resources that they are meant for. */
export class MetadefEntries {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** All of a kind, the newest first. @throws DarkroomError METADEF_NOT_FOUND */
  async list(
    caller: Caller,
    namespace: string,
    kind: MetadefKind,
  ): Promise<readonly Readonly<MetadefEntry>[]> {
    const { id } = await readNamespace(this.#database, caller, namespace);
    return readEntries(this.#database, caller, [id], kind);
  }

  /** @throws DarkroomError METADEF_NOT_FOUND */
  async get(
    caller: Caller,
    namespace: string,
    kind: MetadefKind,
    name: string,
  ): Promise<Readonly<MetadefEntry>> {
    const entries = await this.list(caller, namespace, kind);
    const found = entries.find((entry) => entry.name === name);
    if (found === undefined) {
      throw entryNotFound(namespace, kind, name);
    }
    return found;
  }

  /** @throws DarkroomError FIELD_INVALID, METADEF_NOT_FOUND, METADEF_NOT_OWNED, METADEF_EXISTS */
  async add(caller: Caller, namespace: string, fields: EntryFields): Promise<MetadefEntry> {
    checkEntries([fields]);
    return changeNamespace(this.#database, caller, namespace, async (em, found) => {
      const [added] = await insertEntries(em, found, [fields]);
      if (added === undefined) {
        throw new Error('What was added is not there.');
      }
      return added;
    });
  }

  /**
   * Gives a namespace tags: all at once, or none.
   *
   * @param isAppended whether they come beside those that there are, or in their place. Of no tags neither is done, as in Glance.
   * @throws DarkroomError as `add`.
   */
  async setTags(
    caller: Caller,
    namespace: string,
    names: readonly string[],
    isAppended: boolean,
  ): Promise<void> {
    const tags = names.map((name) => ({ kind: 'TAG', name, content: {} }) as const);
    checkEntries(tags);
    await changeNamespace(this.#database, caller, namespace, async (em, found) => {
      if (!isAppended && tags.length > 0) {
        await em.nativeDelete(MetadefEntry, { namespaceId: found.id, kind: 'TAG' });
      }
      await insertEntries(em, found, tags);
    });
  }

  /** Says all of a definition anew, its name too. @throws DarkroomError as `add`. */
  async replace(
    caller: Caller,
    namespace: string,
    name: string,
    fields: EntryFields,
  ): Promise<MetadefEntry> {
    checkEntries([fields]);
    return changeNamespace(this.#database, caller, namespace, async (em, found) => {
      const entry = await entryOf(em, found, fields.kind, name);
      if (fields.name !== name && (await takenNames(em, found, [fields])).length > 0) {
        throw entryExists(namespace, fields.kind, fields.name);
      }
      entry.name = fields.name;
      entry.content = fields.content;
      entry.updateTime = await databaseTime(em);
      await em.flush();
      await requireRoom(em, found);
      return entry;
    });
  }

  /** @throws DarkroomError METADEF_NOT_FOUND, METADEF_NOT_OWNED, METADEF_PROTECTED */
  async remove(caller: Caller, namespace: string, kind: MetadefKind, name: string): Promise<void> {
    await changeNamespace(this.#database, caller, namespace, async (em, found) => {
      const entry = await entryOf(em, found, kind, name);
      if (found.protected) {
        throw namespaceProtected(found);
      }
      em.remove(entry);
    });
  }

  /** Removes all of a kind. @throws DarkroomError METADEF_NOT_FOUND, METADEF_NOT_OWNED, METADEF_PROTECTED */
  async removeAll(caller: Caller, namespace: string, kind: MetadefKind): Promise<void> {
    await changeNamespace(this.#database, caller, namespace, async (em, found) => {
      if (found.protected) {
        throw namespaceProtected(found);
      }
      await em.nativeDelete(MetadefEntry, { namespaceId: found.id, kind });
    });
  }

  /** The types of resources that the namespaces are meant for which the caller sees, the oldest first. */
  async resourceTypes(caller: Caller): Promise<readonly ResourceType[]> {
    const { rows } = await this.#database.runForProjects<{
      readonly name: string;
      readonly created: string;
      readonly updated: string;
    }>({
      name: 'resource types of metadef_entries',
      text: `
        select metadef_entries.name, min(metadef_entries.create_time) as created, max(metadef_entries.update_time) as updated
          from metadef_entries join metadef_namespaces on metadef_namespaces.id = namespace_id
         where ${readsFor('$1')} and ${metadefIsSeen('$1')} and kind = 'RESOURCE_TYPE'
         group by metadef_entries.name order by min(metadef_entries.id::text)`,
      values: [visibleProject(caller)],
    });
    return rows.map(({ name, created, updated }) => ({
      name,
      createTime: new Date(created),
      updateTime: new Date(updated),
    }));
  }
}

/**
 * Adds checked definitions to a namespace, which is locked or new.
 *
 * @throws DarkroomError METADEF_EXISTS, FIELD_INVALID for more than a namespace may have.
 */
export async function insertEntries(
  em: EntityManager,
  namespace: Readonly<MetadefNamespace>,
  all: readonly EntryFields[],
): Promise<readonly MetadefEntry[]> {
  const seen = new Set<string>();
  const taken = [
    ...all.filter(({ kind, name }) => seen.size === seen.add(`${kind} ${name}`).size),
    ...(await takenNames(em, namespace, all)),
  ];
  const [first] = taken;
  if (first !== undefined) {
    throw entryExists(namespace.namespace, first.kind, first.name);
  }
  const now = await databaseTime(em);
  const added = all.map((fields) =>
    em.create(MetadefEntry, {
      ...fields,
      id: newId<MetadefEntryId>(),
      namespaceId: namespace.id,
      createTime: now,
      updateTime: now,
    }),
  );
  em.persist(added);
  await em.flush();
  await requireRoom(em, namespace);
  return added;
}

async function entryOf(
  em: EntityManager,
  { id, namespace }: Readonly<MetadefNamespace>,
  kind: MetadefKind,
  name: string,
): Promise<MetadefEntry> {
  const entry = await em.findOne(MetadefEntry, { namespaceId: id, kind, name });
  if (entry === null) {
    throw entryNotFound(namespace, kind, name);
  }
  return entry;
}

async function takenNames(
  em: EntityManager,
  { id }: Readonly<MetadefNamespace>,
  all: readonly EntryFields[],
): Promise<readonly Pick<EntryFields, 'kind' | 'name'>[]> {
  const groups = Map.groupBy(all, ({ kind }) => kind);
  const taken = await em.find(
    MetadefEntry,
    {
      namespaceId: id,
      $or: [...groups].map(([kind, ofKind]) => ({
        kind,
        name: { $in: ofKind.map(({ name }) => name) },
      })),
    },
    { fields: ['kind', 'name'], limit: 1 },
  );
  return all.length === 0 ? [] : taken;
}

async function requireRoom(em: EntityManager, { id }: Readonly<MetadefNamespace>): Promise<void> {
  const [used]: { entries: string; bytes: string }[] = await em.execute(
    `select count(*) as entries, coalesce(sum(octet_length(content::text)), 0) as bytes
       from metadef_entries where namespace_id = ?`,
    [id],
  );
  if (Number(used?.entries) > maxEntries || Number(used?.bytes) > maxContentBytes) {
    throw invalidField(
      'namespace',
      `must have at most ${maxEntries} definitions of ${maxContentBytes} bytes in all: make another namespace`,
    );
  }
}

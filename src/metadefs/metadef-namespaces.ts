import { UniqueConstraintViolationException } from '@mikro-orm/core';
import type { Caller } from '../access/caller.ts';
import { makerFor } from '../access/maker-for.ts';
import { metadefIsSeen, visibleProject } from '../access/rights.ts';
import type { Database } from '../database/database.ts';
import { databaseTime } from '../database/database-time.ts';
import { rowSource, type RawRow } from '../database/entity-rows.ts';
import { readsFor } from '../database/reads-for-projects.ts';
import { invalidField } from '../domain/darkroom-error.ts';
import { newId, type MetadefNamespaceId } from '../records/ids.ts';
import { MetadefNamespace } from '../records/metadef-namespace.ts';
import { checkedNamespace, checkEntries } from './check-metadefs.ts';
import { changeNamespace, readEntries, readNamespace } from './find-metadefs.ts';
import { insertEntries } from './metadef-entries.ts';
import { namespaceExists, namespaceProtected } from './metadef-errors.ts';
import type {
  EntryFields,
  ListNamespacesRequest,
  NamespaceFields,
  NamespaceSortKey,
  WholeNamespace,
} from './metadef-requests.ts';

/** How many namespaces a project may have. */
const maxNamespaces = 1000;

interface SortColumn {
  readonly sql: string;
  readonly of: (namespace: Readonly<MetadefNamespace>) => string;
}

const sortColumns: Readonly<Record<NamespaceSortKey, SortColumn>> = {
  created_at: { sql: 'create_time', of: ({ createTime }) => createTime.toISOString() },
  updated_at: { sql: 'update_time', of: ({ updateTime }) => updateTime.toISOString() },
  namespace: { sql: 'namespace collate "C"', of: ({ namespace }) => namespace },
  display_name: {
    sql: `coalesce(display_name, '') collate "C"`,
    of: ({ displayName }) => displayName ?? '',
  },
  visibility: { sql: 'visibility collate "C"', of: ({ visibility }) => visibility },
  owner: { sql: 'project_id collate "C"', of: ({ projectId }) => projectId },
};

/** Namespaces of metadata definitions: made and changed by admins, seen by their project or by all. */
export class MetadefNamespaces {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Lists the namespaces that the caller sees, with the types of resources that they are meant for.
   *
   * @throws DarkroomError METADEF_NOT_FOUND for the namespace after which it is to begin.
   */
  async list(caller: Caller, request: ListNamespacesRequest): Promise<readonly WholeNamespace[]> {
    const { visibility, resourceTypes, sortBy, direction, limit, after } = request;
    const marker =
      after === undefined ? undefined : await readNamespace(this.#database, caller, after);
    const column = sortColumns[sortBy];
    const values: unknown[] = [visibleProject(caller)];
    const value = (one: unknown): string => `$${values.push(one)}`;
    const conditions = [
      metadefIsSeen('$1'),
      ...(visibility === undefined ? [] : [`visibility = ${value(visibility)}`]),
      ...(resourceTypes.length === 0
        ? []
        : [
            `id in (select namespace_id from metadef_entries
                     where kind = 'RESOURCE_TYPE' and name = any (${value(resourceTypes)}::text[]))`,
          ]),
      ...(marker === undefined
        ? []
        : [
            `(${column.sql}, id) ${direction === 'asc' ? '>' : '<'}
             (${value(column.of(marker))}, ${value(marker.id)})`,
          ]),
    ];
    const { select, entityOf } = rowSource(this.#database, MetadefNamespace);
    const { rows } = await this.#database.runForProjects<RawRow>({
      name: 'metadef_namespaces in a list',
      isPrepared: false,
      text: `${select} where ${readsFor('$1')} and ${conditions.join(' and ')}
        order by ${column.sql} ${direction}, id ${direction} limit ${value(limit)}`,
      values,
    });
    const namespaces = rows.map(entityOf);
    const ids = namespaces.map(({ id }) => id);
    const entries = await readEntries(this.#database, caller, ids, 'RESOURCE_TYPE');
    const byNamespace = Map.groupBy(entries, ({ namespaceId }) => namespaceId);
    return namespaces.map((namespace) => ({
      namespace,
      entries: byNamespace.get(namespace.id) ?? [],
    }));
  }

  /** A namespace with all that it has. @throws DarkroomError METADEF_NOT_FOUND */
  async get(caller: Caller, name: string): Promise<WholeNamespace> {
    const namespace = await readNamespace(this.#database, caller, name);
    return { namespace, entries: await readEntries(this.#database, caller, [namespace.id]) };
  }

  /**
   * Makes a namespace with all that it is to have, or nothing.
   *
   * @throws DarkroomError FIELD_INVALID, METADEF_EXISTS, PROJECT_NOT_ALLOWED
   */
  async create(
    caller: Caller,
    fields: NamespaceFields,
    entries: readonly EntryFields[],
  ): Promise<WholeNamespace> {
    const checked = { ...fields, ...checkedNamespace(fields) };
    checkEntries(entries);
    const { projectId } = makerFor(caller, fields.projectId, 'a namespace');
    return unlessTaken(fields.namespace, () =>
      this.#database.fork().transactional(async (em) => {
        // All who make one for a project wait for each other here, so that none of them comes past the limit.
        await em.execute('select pg_advisory_xact_lock(hashtextextended(?, 0))', [
          `metadefs of ${projectId}`,
        ]);
        if ((await em.count(MetadefNamespace, { projectId })) >= maxNamespaces) {
          throw invalidField('namespace', `must be one of at most ${maxNamespaces} of a project`);
        }
        const now = await databaseTime(em);
        const namespace = em.create(MetadefNamespace, {
          ...checked,
          id: newId<MetadefNamespaceId>(),
          projectId,
          createTime: now,
          updateTime: now,
        });
        em.persist(namespace);
        await em.flush();
        return { namespace, entries: (await insertEntries(em, namespace, entries)).toReversed() };
      }),
    );
  }

  /**
   * Says all fields of a namespace anew; what it has stays.
   *
   * @throws DarkroomError FIELD_INVALID, METADEF_NOT_FOUND, METADEF_NOT_OWNED, METADEF_EXISTS, PROJECT_NOT_ALLOWED
   */
  async update(
    caller: Caller,
    name: string,
    fields: NamespaceFields,
  ): Promise<Readonly<MetadefNamespace>> {
    const { visibility } = checkedNamespace(fields);
    const { projectId } = makerFor(caller, fields.projectId, 'a namespace');
    return unlessTaken(fields.namespace, () =>
      changeNamespace(this.#database, caller, name, async (em, namespace) => {
        const { displayName, description } = fields;
        Object.assign(namespace, {
          namespace: fields.namespace,
          displayName,
          description,
          visibility,
          protected: fields.protected,
          projectId,
          updateTime: await databaseTime(em),
        });
        await em.flush();
        return namespace;
      }),
    );
  }

  /** Deletes a namespace with all that it has. @throws DarkroomError METADEF_NOT_FOUND, METADEF_NOT_OWNED, METADEF_PROTECTED */
  async remove(caller: Caller, name: string): Promise<void> {
    await changeNamespace(this.#database, caller, name, async (em, namespace) => {
      if (namespace.protected) {
        throw namespaceProtected(namespace);
      }
      await em.remove(namespace).flush();
    });
  }
}

/** The unique index decides between two who take a name at the same time. */
async function unlessTaken<T>(name: string, change: () => Promise<T>): Promise<T> {
  try {
    return await change();
  } catch (error) {
    throw error instanceof UniqueConstraintViolationException
      ? namespaceExists(name, error)
      : error;
  }
}

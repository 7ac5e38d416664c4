import { LockMode } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Caller } from '../access/caller.ts';
import { isOwn, metadefIsSeen, visibleProject } from '../access/rights.ts';
import type { Database } from '../database/database.ts';
import { rowSource, type RawRow } from '../database/entity-rows.ts';
import { readsFor } from '../database/reads-for-projects.ts';
import type { MetadefNamespaceId } from '../records/ids.ts';
import { MetadefEntry, type MetadefKind } from '../records/metadef-entry.ts';
import { MetadefNamespace } from '../records/metadef-namespace.ts';
import { namespaceNotFound, namespaceNotOwned } from './metadef-errors.ts';

/**
 * Reads a namespace that the caller sees.
 *
 * @throws DarkroomError METADEF_NOT_FOUND, for one that the caller may not see as for one that does not exist.
 */
export async function readNamespace(
  database: Database,
  caller: Caller,
  name: string,
): Promise<Readonly<MetadefNamespace>> {
  const { select, entityOf } = rowSource(database, MetadefNamespace);
  const { rows } = await database.runForProjects<RawRow>({
    name: 'metadef_namespaces by name',
    text: `${select} where ${readsFor('$1')} and namespace = $2 and ${metadefIsSeen('$1')}`,
    values: [visibleProject(caller), name],
  });
  const [row] = rows;
  if (row === undefined) {
    throw namespaceNotFound(name);
  }
  return entityOf(row);
}

/**
 * The owner of a namespace, whoever asks: for the service itself.
 *
 * @returns undefined where there is none.
 */
export async function ownerOfNamespace(
  database: Database,
  name: string,
): Promise<string | undefined> {
  const { rows } = await database.run<{ readonly project_id: string }>({
    name: 'owner of metadef_namespaces',
    text: 'select project_id from metadef_namespaces where namespace = $1',
    values: [name],
  });
  return rows[0]?.project_id;
}

/**
 * Has a namespace of the caller's own changed, holding its lock until the transaction ends: of two changes of one
 * namespace each is done as a whole. It is found behind the second wall.
 *
 * @throws DarkroomError METADEF_NOT_FOUND; METADEF_NOT_OWNED for one of another project that the caller sees; what `change` throws.
 */
export async function changeNamespace<T>(
  database: Database,
  caller: Caller,
  name: string,
  change: (em: EntityManager, namespace: MetadefNamespace) => Promise<T>,
): Promise<T> {
  const found = await readNamespace(database, caller, name);
  if (!isOwn(caller, found)) {
    throw namespaceNotOwned(found);
  }
  return database.fork().transactional(async (em) => {
    const namespace = await em.findOne(
      MetadefNamespace,
      { id: found.id, projectId: visibleProject(caller) },
      { lockMode: LockMode.PESSIMISTIC_WRITE },
    );
    // It may have been deleted, renamed or given away meanwhile.
    if (namespace?.namespace !== name) {
      throw namespaceNotFound(name);
    }
    return change(em, namespace);
  });
}

/** What namespaces have that the caller sees, the newest first. @param kind undefined for all. */
export async function readEntries(
  database: Database,
  caller: Caller,
  namespaceIds: readonly MetadefNamespaceId[],
  kind?: MetadefKind,
): Promise<readonly Readonly<MetadefEntry>[]> {
  if (namespaceIds.length === 0) {
    return [];
  }
  const { select, entityOf } = rowSource(database, MetadefEntry);
  const { rows } = await database.runForProjects<RawRow>({
    name: `metadef_entries ${kind === undefined ? '' : 'of a kind '}by namespaces`,
    text: `${select} where ${readsFor('$1')} and namespace_id = any ($2::uuid[])
      ${kind === undefined ? '' : 'and kind = $3'} order by id desc`,
    values: [visibleProject(caller), namespaceIds, ...(kind === undefined ? [] : [kind])],
  });
  return rows.map(entityOf);
}

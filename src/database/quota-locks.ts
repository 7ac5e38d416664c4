import type { EntityManager } from '@mikro-orm/postgresql';

/**
 * Locks what is counted of projects, in the one order in which all do so (migration 0020). Whoever changes what is counted of
 * several projects in one transaction has to call it first, after all other locks. Of one project the triggers do it.
 *
 * @throws the driver's errors.
 */
export async function lockQuotas(em: EntityManager, projectIds: Iterable<string>): Promise<void> {
  const several = severalProjects(projectIds);
  if (several.length > 0) {
    await em.execute('select quota_lock(array(select json_array_elements_text(?::json)))', [
      JSON.stringify(several),
    ]);
  }
}

/** The projects if they are several, each once; none where it is one, and nothing has to be locked first. */
export function severalProjects(projectIds: Iterable<string>): readonly string[] {
  const different = [...new Set(projectIds)];
  return different.length > 1 ? different : [];
}

import type { Database } from '../../database/database.ts';
import type { ProcessId } from '../../records/ids.ts';
import type { SharedPlaces, Watcher } from './watch-places.ts';

/** An answer that does not come within this is not waited for, in ms. */
const timeoutMs = 10_000;

/**
 * Places of watches in the database, which all processes share. What a process has counts while that gives signs of life, and
 * goes with its row in `processes`.
 */
export class StoredPlaces implements SharedPlaces {
  readonly #database: Database;
  readonly #processId: ProcessId;

  constructor(database: Database, processId: ProcessId) {
    this.#database = database;
    this.#processId = processId;
  }

  async take({ projectId, userId }: Watcher, wanted: number, allowed: number): Promise<number> {
    const { rows } = await this.#database.run<{ given: number }>({
      name: 'take watch places',
      text: 'select watch_places_take($1, $2, $3, $4, $5) as given',
      values: [this.#processId, projectId, userId, wanted, allowed],
      timeoutMs,
    });
    return rows[0]?.given ?? 0;
  }

  async keep(all: readonly (Watcher & { readonly places: number })[]): Promise<void> {
    await this.#database.run({
      name: 'keep watch places',
      text: `
        with told as (
          select * from unnest($2::text[], $3::text[], $4::integer[]) as told (project_id, user_id, held)
        ), gone as (
          delete from watch_places using told
           where process_id = $1 and told.held = 0
             and watch_places.project_id = told.project_id and watch_places.user_id = told.user_id
        )
        insert into watch_places (process_id, project_id, user_id, held)
        select $1, project_id, user_id, held from told where held > 0
            on conflict (project_id, user_id, process_id) do update set held = excluded.held`,
      values: [
        this.#processId,
        all.map(({ projectId }) => projectId),
        all.map(({ userId }) => userId),
        all.map(({ places }) => places),
      ],
      timeoutMs,
    });
  }
}

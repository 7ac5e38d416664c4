import pg, { type ClientBase, type Pool, type PoolConfig } from 'pg';

/** As what is read for projects: it owns nothing, may only read, and is shown by PostgreSQL what a project sees. */
const role = 'darkroom_tenant';
/** How long a new connection may take to become that role, in ms. */
const connectMs = 10_000;

/** The last of what migration 0022 makes; before it, or where its user may not become the role, there is no wall. */
const wallStands = `
  select has_table_privilege(oid, 'blobs', 'select') and exists (
           select from pg_policy where polrelid = 'blobs'::regclass and pg_roles.oid = any (polroles)) as has_policy,
         pg_has_role(current_user, oid, case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end)
           as may_become
    from pg_roles
   where rolname = '${role}'`;

interface WallRow {
  readonly has_policy: boolean;
  readonly may_become: boolean;
}

/**
 * SQL: a condition that tells PostgreSQL for which project a statement reads, before it reads anything, and is always
 * true. It counts for this statement alone: the next one that forgets it is shown nothing.
 *
 * @param project SQL of the project, a parameter.
 */
export function readsFor(project: string): string {
  return `(select ${toldProject(project)}) is not null`;
}

/** SQL: tells PostgreSQL for which project is read from now on, until the statement ends; answers the project. */
export function toldProject(project: string): string {
  return `set_config('darkroom.project', ${project}, true)`;
}

/**
 * The connections on which is read for callers: behind the second wall, which stands where a statement forgets to ask
 * whose rows it reads. Each is in the role `darkroom_tenant` from its beginning, so that PostgreSQL makes its policies part
 * of each statement's plan. By functions that run as another role a read took half as long again.
 *
 * Where the database's user may not become that role there is no wall, and they are connections as any other.
 */
export class ReadsForProjects {
  readonly pool: Pool;
  #hasWall: boolean | undefined;

  /**
   * @param like the pool whose connections these are like, but for their role. Connects to nothing yet.
   * @param max the largest number of connections.
   */
  constructor(like: Pool, max: number, onWarning: (message: string) => void) {
    const { options } = like;
    const config: PoolConfig = {
      ...options,
      // Not among those that are copied.
      password: options.password,
      min: 0,
      max,
      // pg-pool waits for it; its types do not know.
      onConnect: this.#becomeTenant.bind(this) as (client: ClientBase) => void,
    };
    this.pool = new pg.Pool(config);
    // Unheard, either event would end the process. Whoever waits on a connection that breaks is told by its statement.
    this.pool.on('connect', (client) => void client.on('error', () => {}));
    this.pool.on('error', ({ message }) => {
      if (!this.pool.ending) {
        onWarning(`PostgreSQL pool error: ${message}`);
      }
    });
  }

  /** Whether what is read for callers is read behind the second wall. @throws the driver's errors. */
  async hasWall(): Promise<boolean> {
    const client = await this.pool.connect();
    client.release();
    return this.#hasWall === true;
  }

  /** pg-pool gives nobody the connection before this is done, and ends it where it fails. */
  async #becomeTenant(client: ClientBase): Promise<void> {
    // Looked at once, so that a wall that has stood is never missed unnoticed: from then on it is a role or an error.
    if (this.#hasWall === undefined) {
      const ask = { text: wallStands, query_timeout: connectMs };
      const { rows } = await client.query<WallRow>(ask);
      this.#hasWall = rows.some(({ has_policy, may_become }) => has_policy && may_become);
    }
    if (this.#hasWall) {
      // What was read for one project must not be remembered for the next.
      const become = {
        text: `set role ${role}; set enable_memoize = off`,
        query_timeout: connectMs,
      };
      await client.query(become);
    }
  }
}

import pg from 'pg';
import { answerCommands } from '../stage/script.ts';
import { GrpcConnection } from '../wire/grpc-connection.ts';

/** What the script can be asked. Each answers how long the calls took, in ms. */
export interface ListLoad {
  /** Calls a method one after the other. */
  call(order: {
    readonly url: string;
    readonly method: string;
    readonly message: Uint8Array;
    readonly calls: number;
  }): Promise<Float64Array>;
  /** Reads a hundred rows by their keys, one query after the other, from PostgreSQL itself. */
  select(order: { readonly url: string; readonly calls: number }): Promise<Float64Array>;
}

const pageSize = 100;

answerCommands<ListLoad>({
  async call({ url, method, message, calls }) {
    const connection = await GrpcConnection.open(url);
    const durations = await timed(calls, () => connection.unary(method, message));
    connection.close();
    return durations;
  },

  async select({ url, calls }) {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query<{ id: string }>('select id from tasks limit $1', [
      pageSize,
    ]);
    const ids = rows.map(({ id }) => id);
    const durations = await timed(calls, () =>
      client.query({
        name: 'rows',
        text: 'select * from tasks where id = any($1)',
        values: [ids],
      }),
    );
    await client.end();
    return durations;
  },
});

async function timed(calls: number, call: () => Promise<unknown>): Promise<Float64Array> {
  const durations = new Float64Array(calls);
  for (let i = 0; i < calls; i += 1) {
    const start = performance.now();
    await call();
    durations[i] = performance.now() - start;
  }
  return durations;
}

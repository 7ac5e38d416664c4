import { answerCommands } from '../stage/script.ts';
import { framed, GrpcConnection, GrpcStatusError } from '../wire/grpc-connection.ts';

/** Calls that are all answered with NOT_FOUND, of several kinds, whose times are to be compared. */
export interface IdOrder {
  /** Of the service. */
  readonly url: string;
  /** `<package>.<service>/<method>` */
  readonly method: string;
  readonly seconds: number;
  /** The requests of each kind. */
  readonly kinds: readonly (readonly Uint8Array[])[];
}

/** How long each call took, in µs, by the kinds. */
export type IdResult = readonly Float64Array[];

/** What the script can be asked. */
export interface IdLoad {
  call(order: IdOrder): Promise<IdResult>;
}

answerCommands<IdLoad>({
  /** One call after the other, each of a kind that chance says, so that whatever else happens happens to all kinds alike. */
  async call({ url, method, seconds, kinds }) {
    const connection = await GrpcConnection.open(url);
    const durations = kinds.map((): number[] => []);
    const end = performance.now() + seconds * 1000;
    for (let start = performance.now(); start < end; start = performance.now()) {
      const kind = Math.floor(Math.random() * kinds.length);
      const requests = kinds[kind] ?? [];
      const request = requests[Math.floor(Math.random() * requests.length)] ?? new Uint8Array();
      const call = connection.call(method);
      const begun = performance.now();
      call.stream.resume();
      call.stream.end(framed(request));
      await call.ended().then(
        () => {
          throw new Error(`${method} has found what it should not`);
        },
        (error: unknown) => {
          if (!(error instanceof GrpcStatusError && error.message.startsWith('grpc-status 5:'))) {
            throw error;
          }
        },
      );
      durations[kind]?.push((performance.now() - begun) * 1000);
    }
    connection.close();
    return durations.map((times) => Float64Array.from(times));
  },
});

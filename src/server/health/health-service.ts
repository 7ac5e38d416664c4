import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import {
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthCheckResponseSchema,
  type Health,
} from '../../../gen/grpc/health/v1/health_pb.ts';
import { serverDraining } from '../transport/drain.ts';
import type { HealthSource } from './health-source.ts';
import { drainSignalOf } from '../transport/request-context.ts';

/**
 * grpc.health.v1 for the named services, which are healthy all or none: they share one database. The empty name
 * stands for the whole server.
 */
export function healthService(
  source: HealthSource,
  serviceNames: readonly string[],
): ServiceImpl<typeof Health> {
  const names = new Set(['', ...serviceNames]);
  const statusOf = (name: string): ServingStatus =>
    names.has(name) ? ServingStatus[source.status()] : ServingStatus.SERVICE_UNKNOWN;

  return {
    check({ service }) {
      if (!names.has(service)) {
        throw new ConnectError(`there is no service ${JSON.stringify(service)}`, Code.NotFound);
      }
      return create(HealthCheckResponseSchema, { status: statusOf(service) });
    },

    list() {
      const response = create(HealthCheckResponseSchema, {
        status: ServingStatus[source.status()],
      });
      return { statuses: Object.fromEntries([...names].map((name) => [name, response])) };
    },

    async *watch({ service }, context) {
      const { signal } = context;
      const drainSignal = drainSignalOf(context);
      let wake = Promise.withResolvers<void>();
      const onEvent = (): void => wake.resolve();
      const unsubscribe = source.onChange(onEvent);
      signal.addEventListener('abort', onEvent);
      drainSignal.addEventListener('abort', onEvent);
      try {
        let told: ServingStatus | undefined;
        while (!signal.aborted) {
          const status = statusOf(service);
          if (status !== told) {
            told = status;
            yield create(HealthCheckResponseSchema, { status });
          }
          if (drainSignal.aborted) {
            throw serverDraining();
          }
          await wake.promise;
          wake = Promise.withResolvers();
        }
        throw signal.reason;
      } finally {
        unsubscribe();
        signal.removeEventListener('abort', onEvent);
        drainSignal.removeEventListener('abort', onEvent);
      }
    },
  };
}

import type { DescService } from '@bufbuild/protobuf';
import { Health } from '../../gen/grpc/health/v1/health_pb.ts';
import { rulesOf, type AccessPolicy, type AccessRule } from '../access/policy.ts';
import type { Settings } from '../config/settings.ts';
import type { Application } from './application.ts';
import { consoleRoutes } from './console/console-routes.ts';
import { docsRoutes } from './docs/docs-routes.ts';
import { carriesChunk, type MessageLimitOf } from './errors/protocol-failure.ts';
import { healthRoutes } from './health/health-routes.ts';
import { healthService } from './health/health-service.ts';
import type { HealthSource } from './health/health-source.ts';
import { httpEndpoints, type HttpEndpoints } from './http/http-endpoints.ts';
import { addReflection } from './rpc/reflection.ts';
import { createRpcAdapter, type RpcAdapter } from './rpc/rpc-adapter.ts';
import { serverDraining, type Drain } from './transport/drain.ts';

/** What answers requests. */
export interface Answers {
  readonly rpc: RpcAdapter;
  readonly http: HttpEndpoints;
  /** Who may ask for it, by the names of RPCs and of places. */
  readonly rules: ReadonlyMap<string, AccessRule>;
}

/** What goes with an application. */
export interface AnswerParts {
  readonly settings: Pick<
    Settings,
    'reflection' | 'maxChunkBytes' | 'maxMessageBytes' | 'streamIdleTimeoutMs' | 'minUploadRate'
  >;
  readonly policy: AccessPolicy;
  readonly drain: Drain;
  readonly health: HealthSource;
}

/**
 * Has an application answer, with health, reflection, the console and the documentation beside it.
 *
 * @throws NoAccessRuleError where the policy does not say who may call something of it.
 */
export function answersOf(
  { routes, admit, httpRoutes = [] }: Application,
  { settings, policy, drain, health }: AnswerParts,
): Answers {
  const rpc = createRpcAdapter({
    maxMessageBytesOf: messageLimits(settings),
    pace: { idleTimeoutMs: settings.streamIdleTimeoutMs, minRate: settings.minUploadRate },
    routes(router) {
      routes(router);
      const services = (): DescService[] => [...new Set(router.handlers.map((one) => one.service))];
      const names = [...services(), Health].map((service) => service.typeName);
      router.service(Health, healthService(health, names));
      if (settings.reflection !== 'off') {
        addReflection(router, services);
      }
    },
    admit(service) {
      if (!service.typeName.startsWith('grpc.')) {
        if (drain.isDraining) {
          throw serverDraining();
        }
        admit?.();
      }
    },
  });
  const http = httpEndpoints([
    ...healthRoutes(health),
    ...consoleRoutes(),
    ...docsRoutes(),
    ...httpRoutes,
  ]);
  return { rpc, http, rules: rulesOf(policy, [...rpc.names, ...http.names]) };
}

/**
 * The largest messages. Of a method that takes a chunk: the chunk as base64 in Connect's JSON, which is what browsers send, and
 * 64 KiB for all that is around it. What the chunk itself may be is checked with the chunk.
 */
function messageLimits({
  maxChunkBytes,
  maxMessageBytes,
}: Pick<Settings, 'maxChunkBytes' | 'maxMessageBytes'>): MessageLimitOf {
  const maxWithChunk = Math.ceil(maxChunkBytes / 3) * 4 + 64 * 1024;
  return (method) => (carriesChunk(method) ? maxWithChunk : maxMessageBytes);
}

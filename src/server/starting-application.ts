import type { DescService } from '@bufbuild/protobuf';
import type { Application } from './application.ts';
import { databaseUnavailable } from './errors/database-unavailable.ts';
import type { HttpRoute } from './http/http-endpoints.ts';

const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/**
 * What a server answers with while its service starts: every call is refused, in the client's own protocol, with
 * when to try again.
 */
export function startingApplication(services: readonly DescService[]): Application {
  const refuse = (): never => {
    throw databaseUnavailable(
      'the service is starting, and its database is not there yet; try again',
    );
  };
  return {
    admit: refuse,
    routes: (router) => services.forEach((service) => router.service(service, {})),
    httpRoutes: methods.map((method): HttpRoute => ({ method, path: '/*', handle: refuse })),
  };
}

import type { ConnectRouter } from '@connectrpc/connect';
import type { HttpRoute } from './http/http-endpoints.ts';

/** What answers calls. */
export interface Application {
  /** Registers the services; health and reflection are added to them. */
  readonly routes: (router: ConnectRouter) => void;
  /** Places of plain HTTP besides `/healthz` and `/readyz`. */
  readonly httpRoutes?: readonly HttpRoute[];
  /** Called for each call of its services before its body is read; what it throws is the answer. */
  readonly admit?: () => void;
}

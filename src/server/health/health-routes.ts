import { sendJson, type HttpRoute } from '../http/http-endpoints.ts';
import type { HealthSource } from './health-source.ts';

/** `/healthz`: the process lives. `/readyz`: the service can do its work, or says why not. */
export function healthRoutes(health: HealthSource): readonly HttpRoute[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      whileDraining: true,
      handle({ response }) {
        response.setHeader('content-type', 'text/plain');
        response.setHeader('x-content-type-options', 'nosniff');
        response.end('ok');
      },
    },
    {
      method: 'GET',
      path: '/readyz',
      whileDraining: true,
      handle({ response }) {
        const status = health.status();
        sendJson(response, status === 'SERVING' ? 200 : 503, {
          status,
          reason: health.reason(),
          message: health.message?.(),
        });
      },
    },
  ];
}

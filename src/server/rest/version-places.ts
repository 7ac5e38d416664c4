import { sendJson, type HttpCall } from '../http/http-endpoints.ts';
import { apiVersions, currentVersion } from './api-version.ts';
import type { Place } from './place.ts';
import { sendView } from './rest-answer.ts';

/** Which versions of the API there are, for clients that have not chosen one yet. */
export const versionPlaces: readonly Place[] = [
  { path: '/', methods: { GET: sendVersionChoice } },
  { path: '/versions', methods: { GET: (call) => sendView(call, versions(call)) } },
  { path: '/v2', methods: { GET: sendVersion } },
  { path: '/v2/', methods: { GET: sendVersion } },
];

function versions({ request }: HttpCall): unknown {
  return { versions: apiVersions(request) };
}

/** With 300, as Glance answers who did not say which version: clients that look for it read the list either way. */
function sendVersionChoice(call: HttpCall): void {
  call.response.setHeader('cache-control', 'no-store');
  sendJson(call.response, 300, versions(call));
}

function sendVersion(call: HttpCall): void {
  sendView(call, { version: currentVersion(call.request) });
}

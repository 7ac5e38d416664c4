import { fileURLToPath } from 'node:url';
import type { HttpCall, HttpRoute } from '../http/http-endpoints.ts';
import { sendSentence, sendStatic } from '../http/send-static.ts';
import { StaticFiles } from '../http/static-files.ts';

/** Where `npm run build` puts the documentation's site. */
export const docsFolder = fileURLToPath(new URL('../../../dist/docs/', import.meta.url));

const firstPage = 'index.html';

/** The documentation of this very version, at `/docs`. Told to everybody, while the service starts and stops, too. */
export function docsRoutes(files: StaticFiles = new StaticFiles(docsFolder)): readonly HttpRoute[] {
  return [
    { method: 'GET', path: '/docs', whileDraining: true, handle: toFirstPage },
    {
      method: 'GET',
      path: '/docs/*',
      whileDraining: true,
      handle: (call) => sendFile(files, call),
    },
  ];
}

/** The links of the first page are relative to the folder. */
function toFirstPage({ response }: HttpCall): void {
  response.setHeader('location', '/docs/');
  sendSentence(response, 308, 'The documentation is at /docs/.');
}

async function sendFile(files: StaticFiles, call: HttpCall): Promise<void> {
  const asked = (call.request.url ?? '').replace(/[?#].*$/s, '').slice('/docs/'.length);
  const path = asked === '' || asked.endsWith('/') ? asked + firstPage : asked;
  const file = await files.find(path);
  if (file !== undefined) {
    sendStatic(call, file, path.startsWith('assets/'));
    return;
  }
  const isBuilt = (await files.find(firstPage)) !== undefined;
  sendSentence(
    call.response,
    404,
    isBuilt
      ? 'The documentation has no such page: begin at /docs/.'
      : 'The documentation is not built here: run `npm run build` where Darkroom is installed, and load this page again.',
  );
}

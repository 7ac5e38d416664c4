import { fileURLToPath } from 'node:url';
import { accepts } from '../http/accepts.ts';
import type { HttpCall, HttpRoute } from '../http/http-endpoints.ts';
import { addVary, sendSentence, sendStatic } from '../http/send-static.ts';
import { StaticFiles } from '../http/static-files.ts';
import { pathOf, type NodeRequest } from '../transport/node-http.ts';

/** Where `npm run build` puts the console. */
export const consoleFolder = fileURLToPath(new URL('../../../dist/console/', import.meta.url));

/** Paths that the console shows a page at. All are one file; which page it is, the console reads from the address. */
const pages = ['/', '/images', '/images/:id', '/tasks', '/tasks/:id', '/uploads'];

/**
 * The console: its pages, to those who ask for HTML, and what they are made of. Told to everybody, while the service starts
 * and stops, too: a page that is there says better what is going on than a browser that finds none.
 */
export function consoleRoutes(
  files: StaticFiles = new StaticFiles(consoleFolder),
): readonly HttpRoute[] {
  return [
    ...pages.map((path): HttpRoute => ({
      method: 'GET',
      path,
      isFor: wantsPage,
      whileDraining: true,
      handle: (call) => sendPage(files, call),
    })),
    {
      method: 'GET',
      path: '/console/*',
      whileDraining: true,
      handle: (call) => sendAsset(files, call),
    },
  ];
}

/** Programs take anything, or say nothing; only a browser names HTML. */
function wantsPage({ headers }: NodeRequest): boolean {
  return accepts(headers.accept, 'text/html');
}

async function sendPage(files: StaticFiles, call: HttpCall): Promise<void> {
  addVary(call.response, 'Accept');
  const page = await files.find('index.html');
  if (page === undefined) {
    const message =
      'The console is not built here: run `npm run build` where Darkroom is installed, and load this page again.';
    sendSentence(call.response, 404, message);
  } else {
    sendStatic(call, page, false);
  }
}

async function sendAsset(files: StaticFiles, call: HttpCall): Promise<void> {
  const asset = await files.find(pathOf(call.request).slice(1));
  if (asset === undefined) {
    sendSentence(call.response, 404, 'The console has no such file: load its page again.');
  } else {
    sendStatic(call, asset, true);
  }
}

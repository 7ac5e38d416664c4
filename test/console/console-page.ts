import axe from 'axe-core';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { buildConsoleIfStale } from '../../build/console.ts';
import { hasProgram } from '../support/disk-images.ts';
import { madeOnce } from '../support/made-once.ts';

/** Whether there is a browser; says aloud if there is none. */
export const hasChromium = hasProgram('chromium', 'chromium');

/** Has the console built of its sources as they are, once a run. */
export async function builtConsole(): Promise<void> {
  await madeOnce('console', buildConsoleIfStale);
}

const flags = [
  // Needed by root, who has no sandbox.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser with a new profile, which ends when `defer` says so. @param more flags. */
export async function openBrowser(
  defer: (cleanUp: () => Promise<void>) => void,
  more: readonly string[] = [],
): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [...flags, ...more],
  });
  defer(() => browser.close());
  return browser;
}

/** How long a page may take for anything, in ms: it shares two cores with many services. */
const patienceMs = 120_000;

/** A page, and what it complained of. */
export interface Watched {
  readonly page: Page;
  /** What was written to its console as an error, thrown, or refused by its policy. */
  readonly complaints: string[];
}

/** Opens a page that is watched for complaints; what the network does to it is none. */
export async function openPage(context: BrowserContext, url: string): Promise<Watched> {
  const page = await context.newPage();
  page.setDefaultTimeout(patienceMs);
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error.stack)));
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().includes('Failed to load resource')) {
      complaints.push(message.text());
    }
  });
  await page.goto(url);
  return { page, complaints };
}

/** Looks with axe for what keeps people from using a page; answers what it found, empty where nothing. */
export async function axeFindings(page: Page): Promise<string[]> {
  // The page's policy lets no script of others in; what runs over the browser's own line is not bound by it.
  await page.evaluate(axe.source);
  const found = await page.evaluate(
    `axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.flatMap(
       ({ id, help, nodes }) => nodes.map((node) => [id, help, node.target.join(' '), node.failureSummary].join(' | '))))`,
  );
  return found as string[];
}

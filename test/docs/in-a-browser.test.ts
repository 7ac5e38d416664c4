import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { beforeAll, describe, expect, test } from 'vitest';
import { buildDocsIfStale } from '../../build/docs.ts';
import { serveFakes, type FakeServer } from '../server/fake-server.ts';
import { openChromium, type Chromium } from '../support/chromium.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram } from '../support/disk-images.ts';

const hasChromium = hasProgram('chromium', 'chromium');

/** Pages of every kind: prose, wide tables, code, drawn, generated. */
const kinds = [
  '',
  'readme.html',
  'settings.html',
  'security.html',
  'task-states.html',
  'upload-protocol.html',
  'reference/index.html',
  'reference/image-service.html',
  'reference/reasons.html',
  'reference/commands.html',
  'decisions/index.html',
] as const;

/** Has a page told what axe finds on it in light and in dark. */
const findings = (axe: string): string => `
  (async () => {
    const broken = [];
    document.addEventListener('securitypolicyviolation', (event) => broken.push(event.violatedDirective + ' ' + event.blockedURI));
    ${axe};
    const found = [];
    let passed = 0;
    for (const theme of ['light', 'dark']) {
      document.documentElement.dataset.theme = theme;
      const { violations, passes } = await axe.run();
      passed += passes.length;
      for (const { id, nodes } of violations) {
        found.push(theme + ' ' + id + ': ' + nodes.slice(0, 3).map(({ html, failureSummary }) => html.slice(0, 200) + failureSummary).join(' | '));
      }
    }
    const { scrollWidth, clientWidth } = document.documentElement;
    return { broken, found, passed, isWider: scrollWidth > clientWidth };
  })()`;

describe.skipIf(!hasChromium)('the documentation in a browser', () => {
  let server: FakeServer;
  let wide: Chromium;
  let phone: Chromium;
  let axe: string;
  const cleanUps = new CleanUps();

  beforeAll(async () => {
    await buildDocsIfStale();
    axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    server = await serveFakes({});
    cleanUps.defer(() => server.close());
    wide = await openChromium('darkroom.test', ['--window-size=1440,1000']);
    cleanUps.defer(() => wide.close());
    // No narrower window is made, but the page has a viewport of its own.
    phone = await openChromium('darkroom.test', ['--window-size=500,900']);
    cleanUps.defer(() => phone.close());
    return cleanUps.run;
  });

  const page = (path: string): string => `${server.url}/docs/${path}`;

  test.each(kinds)(
    'has nothing that axe finds, in light and dark, wide and narrow: /docs/%s',
    async (path) => {
      for (const chromium of [wide, phone]) {
        const told = await chromium.evaluate(page(path), findings(axe));
        expect(told).toEqual({ broken: [], found: [], passed: expect.any(Number), isWider: false });
        expect((told as { passed: number }).passed).toBeGreaterThan(30);
      }
    },
  );

  test('finds by its search, with the keyboard alone', async () => {
    const told = await wide.evaluate(
      page('upload-protocol.html'),
      `(async () => {
        document.dispatchEvent(new KeyboardEvent('keydown', { key: '/', bubbles: true }));
        const input = document.activeElement;
        input.value = 'writer fenced';
        input.dispatchEvent(new Event('input'));
        const found = document.querySelector('#found');
        while (found.hidden) await new Promise((next) => requestAnimationFrame(next));
        input.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true }));
        const links = [...found.querySelectorAll('[role=option]')];
        const selected = document.getElementById(input.getAttribute('aria-activedescendant'));
        const pages = await Promise.all(links.map(async (link) => (await fetch(link.href)).status));
        return { expanded: input.getAttribute('aria-expanded'), first: selected === links[0], hrefs: links.map(({ href }) => href), pages };
      })()`,
    );
    const { hrefs, pages, ...rest } = told as { hrefs: string[]; pages: number[] };
    expect(rest).toEqual({ expanded: 'true', first: true });
    expect(hrefs).toContain(page('reference/reasons.html#writer-fenced'));
    expect(new Set(pages)).toEqual(new Set([200]));
  });

  test('keeps the colours that a reader has chosen, from the first paint on', async () => {
    const chosen = await wide.evaluate(
      page(''),
      `(document.querySelector('button.theme').click(), document.documentElement.dataset.theme)`,
    );
    expect(chosen).toMatch(/^(?:light|dark)$/);
    const after = await wide.evaluate(
      page('settings.html'),
      'document.documentElement.dataset.theme',
    );
    expect(after).toBe(chosen);
  });
});

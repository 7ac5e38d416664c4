import type { Browser } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { builtConsole, hasChromium, openBrowser, openPage } from './console-page.ts';

const count = 2000;
/**
 * What a frame of 60 a second may cost the page: scripts, styles and layout, in ms of its thread's own time, which other work of
 * the machine does not touch.
 */
const frameMs = 16;
const frames = 150;

describe.skipIf(!hasChromium)('2,000 tasks', () => {
  let service: RunningService;
  let browser: Browser;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    await builtConsole();
    service = await startService({}, cleanUps.defer);
    const names = Array.from({ length: count }, (_, index) => `image ${index}`);
    const makers = Array.from({ length: 16 }, async () => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        await service.images.createImage({
          image: { name, diskFormat: Image_DiskFormat.RAW },
          source: { case: 'snapshot', value: { totalSize: 1_000_000_000n } },
        });
      }
    });
    await Promise.all(makers);
    browser = await openBrowser(cleanUps.defer);
    return cleanUps.run;
  });

  test('scroll smoothly, and are there to the last', async () => {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    const { page, complaints } = await openPage(context, `${service.process.url}/tasks`);
    await page.getByText('2,000 live tasks').waitFor();
    const rows = page.locator('.task-table .row-link');
    // Only what the window shows is there.
    expect(await rows.count()).toBeLessThan(60);
    const table = page.getByRole('table', { name: 'Tasks' });
    expect(await table.getAttribute('aria-rowcount')).toBe(String(count + 1));

    const cdp = await context.newCDPSession(page);
    await cdp.send('Performance.enable', { timeDomain: 'threadTicks' });
    const workMs = async (): Promise<number> => {
      const { metrics } = await cdp.send('Performance.getMetrics');
      return metrics
        .filter(({ name }) => /^(?:Script|Layout|RecalcStyle)Duration$/.test(name))
        .reduce((sum, { value }) => sum + value * 1000, 0);
    };
    const before = await workMs();
    await page.evaluate(`(async () => {
      const step = document.body.scrollHeight / ${frames};
      for (let frame = 0; frame < ${frames}; frame += 1) {
        window.scrollTo(0, frame * step);
        await new Promise((done) => requestAnimationFrame(done));
      }
    })()`);
    expect(((await workMs()) - before) / frames).toBeLessThan(frameMs);

    await page.evaluate('window.scrollTo(0, document.body.scrollHeight)');
    const { tasks } = await service.tasks.listTasks({ orderBy: 2, pageSize: 1 });
    const last = page.locator(`a[href="/tasks/${tasks[0]!.id}"]`);
    await last.waitFor();
    // Names come with the rows that are shown.
    await expect.poll(() => last.innerText()).toMatch(/^image \d+$/);
    expect(await rows.last().getAttribute('aria-rowindex')).toBe(String(count + 1));

    // What happens to one of them is seen though 2,000 are there.
    await service.tasks.cancelTask({ taskId: tasks[0]!.id });
    await page.getByRole('row').filter({ has: last }).getByText('Cancelled').waitFor();
    expect(complaints).toEqual([]);
    await context.close();
  });
});

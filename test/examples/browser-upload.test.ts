import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { rolldown } from 'rolldown';
import { beforeAll, describe, expect, test } from 'vitest';
import { openChromium, type Chromium } from '../support/chromium.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram } from '../support/disk-images.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';
import { repository } from '../support/service-process.ts';

const example = join(repository, 'examples/browser-upload');
const length = 9_000_000;
const bytes = Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7919) >> 3));

describe.skipIf(!hasProgram('chromium', 'chromium'))('the page that uploads', () => {
  let chromium: Chromium;
  let service: RunningService;
  let page: string;
  const cleanUps = new CleanUps();

  beforeAll(async () => {
    const build = await rolldown({ input: join(example, 'upload.js'), platform: 'browser' });
    const { output } = await build.generate({ format: 'esm' });
    await build.close();
    const html = await readFile(join(example, 'index.html'));
    const server = createServer((request, response) => {
      const isScript = request.url === '/upload.js';
      response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
      response.end(isScript ? output[0].code : html);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanUps.defer(async () => void server.close());
    page = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    service = await startService({ DARKROOM_CORS_ORIGINS: page }, cleanUps.defer);
    chromium = await openChromium('darkroom.test');
    cleanUps.defer(() => chromium.close());
    return cleanUps.run;
  });

  /** Fills the form in as a person does, and answers what the page says when `isOver` is true of it. */
  async function upload(isOver: string, meanwhile = ''): Promise<string> {
    return (await chromium.evaluate(
      page,
      `(async () => {
        const form = document.querySelector('form');
        const bytes = Uint8Array.from({ length: ${length} }, (_, i) => (i * 7919) >> 3);
        const files = new DataTransfer();
        files.items.add(new File([bytes], 'disk.raw', { lastModified: 1 }));
        form.elements.file.files = files.files;
        form.elements.endpoint.value = ${JSON.stringify(service.process.url)};
        form.requestSubmit();
        const status = document.querySelector('[role=status]');
        for (;;) {
          const text = status.textContent;
          ${meanwhile}
          if (${isOver}) return text;
          await new Promise((next) => setTimeout(next, 5));
        }
      })()`,
    )) as string;
  }

  test('is paused in the middle, reloaded, and goes on until the image is ACTIVE', async () => {
    const pauses = `if (/^sending: [1-9]/.test(text)) form.elements.pause.click();`;
    expect(await upload(`text.startsWith('Paused')`, pauses)).toContain('also after a reload');
    const { tasks } = await service.tasks.listTasks({});
    expect(tasks).toHaveLength(1);
    const had = Number(tasks[0]!.progress?.bytesDone ?? 0n);
    expect(had).toBeGreaterThan(0);
    expect(had).toBeLessThan(length);

    const told = await upload(`/ACTIVE|[A-Z_]{5,}:/.test(text)`);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    expect(told).toBe(`disk.raw is ACTIVE: ${length} bytes, sha256 ${sha256}`);
    expect((await service.tasks.listTasks({})).tasks).toHaveLength(1);
    const downloaded = await downloadBytes(service.images, tasks[0]!.imageId);
    expect(downloaded.bytes.equals(bytes)).toBe(true);
  });

  test('says by its reason why the service refuses it', async () => {
    const chooses = `form.elements.format.value = 'QCOW2';`;
    // The form is read when it is sent, so the format is chosen before.
    const told = (await chromium.evaluate(
      page,
      `(async () => {
        localStorage.clear();
        const form = document.querySelector('form');
        ${chooses}
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(2_000_000).fill(7)], 'no.qcow2'));
        form.elements.file.files = files.files;
        form.elements.endpoint.value = ${JSON.stringify(service.process.url)};
        form.requestSubmit();
        const status = document.querySelector('[role=status]');
        while (!/^[A-Z_]{5,}:/.test(status.textContent)) await new Promise((next) => setTimeout(next, 5));
        return status.textContent;
      })()`,
    )) as string;
    expect(told).toMatch(/^FORMAT_MISMATCH: /);
  });
});

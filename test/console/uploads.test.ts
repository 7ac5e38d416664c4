import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { TaskEvent_Kind } from '../../gen/darkroom/v1/task_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { DatabaseProxy } from '../support/database-proxy.ts';
import { hasProgram } from '../support/disk-images.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';
import { builtConsole, hasChromium, openBrowser, openPage } from './console-page.ts';

const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const mib = 1024 * 1024;

describe.skipIf(!hasChromium || !hasQemu)('an upload of the console', () => {
  let service: RunningService;
  let browser: Browser;
  /** The network between the browser and the service. */
  let network: DatabaseProxy;
  let folder: string;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    await builtConsole();
    folder = await mkdtemp(join(tmpdir(), 'darkroom-console-'));
    cleanUps.defer(() => rm(folder, { recursive: true, force: true }));
    service = await startService({}, cleanUps.defer);
    network = await DatabaseProxy.open(service.process.url, cleanUps.defer);
    browser = await openBrowser(cleanUps.defer);
    return cleanUps.run;
  });

  /** A qcow2 with `contentMib` of noise, and a hole of zeros in the file itself. */
  async function makeDisk(name: string, contentMib: number): Promise<string> {
    const raw = join(folder, `${name}.raw`);
    const path = join(folder, `${name}.qcow2`);
    await writeFile(raw, randomBytes(contentMib * mib));
    await truncate(raw, 1024 * mib);
    execFileSync('qemu-img', ['convert', '-O', 'qcow2', raw, path]);
    await rm(raw);
    return path;
  }

  async function imageNamed(name: string) {
    const { images } = await service.images.listImages({ filter: { name } });
    return images[0];
  }

  /** From so many bytes on, each call that brings some more breaks. */
  function cutUploadsAfter(most: number): void {
    let passed = 0;
    network.decide = (sent) => {
      passed += sent.length;
      return passed > most && sent.includes('ImageService/UploadChunk') ? 'cut' : 'pass';
    };
  }

  test('of a real image goes on after the network was cut and the page was reloaded', async () => {
    const path = await makeDisk('survivor', 24);
    const bytes = await readFile(path);
    const context = await browser.newContext();
    const { page, complaints } = await openPage(context, network.url);
    cutUploadsAfter(bytes.length / 2);
    await page.getByRole('button', { name: 'New image' }).click();
    await page.locator('dialog input[type=file]').setInputFiles(path);
    await expect.poll(() => page.getByLabel('Name', { exact: true }).inputValue()).toBe('survivor');
    await page.getByRole('button', { name: 'Upload', exact: true }).click();
    await page.getByText('The service does not answer.', { exact: false }).first().waitFor();
    await page.getByText('Nothing is lost.', { exact: false }).first().waitFor();

    await page.reload();
    await page.getByText('Interrupted').waitFor();

    // Another file is not taken for it.
    const other = await makeDisk('other', 1);
    const chooser = page.locator('.upload input[type=file]');
    await chooser.setInputFiles(other);
    await page.getByText('the upload was begun with', { exact: false }).waitFor();

    network.decide = () => 'pass';
    await chooser.setInputFiles(path);
    await page.getByText('Done').waitFor();
    const image = await imageNamed('survivor');
    expect(image).toMatchObject({
      state: Image_State.ACTIVE,
      sizeBytes: BigInt(bytes.length),
      virtualSizeBytes: BigInt(1024 * mib),
      sha256: createHash('sha256').update(bytes).digest('hex'),
    });
    const downloaded = await downloadBytes(service.images, image!.id);
    expect(downloaded.bytes.equals(bytes)).toBe(true);
    const { events } = await service.tasks.listTaskEvents({ taskId: image!.latestTask });
    expect(events.some(({ kind }) => kind === TaskEvent_Kind.WRITER_CHANGED)).toBe(true);
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('goes on by itself when the network comes back', async () => {
    const path = await makeDisk('commuter', 12);
    const context = await browser.newContext();
    const { page } = await openPage(context, network.url);
    cutUploadsAfter(6 * mib);
    await page.getByRole('button', { name: 'New image' }).click();
    await page.locator('dialog input[type=file]').setInputFiles(path);
    await page.getByRole('button', { name: 'Upload', exact: true }).click();
    await page.getByText('Waiting for the network').waitFor();
    network.decide = () => 'pass';
    await page.getByText('Done').waitFor();
    expect((await imageNamed('commuter'))?.state).toBe(Image_State.ACTIVE);
    await context.close();
  });

  test('does not send zeros, is paused, gone on with, and cancelled', async () => {
    const path = join(folder, 'hollow.raw');
    await writeFile(path, randomBytes(8 * mib));
    await truncate(path, 100 * mib);
    const context = await browser.newContext();
    const { page } = await openPage(context, network.url);
    // A slow line: only so much may pass before the page is paused.
    let passed = 0;
    let most = 4 * mib;
    network.decide = (sent) => {
      passed += sent.length;
      return passed > most ? 'stall' : 'pass';
    };
    await page.getByRole('button', { name: 'New image' }).click();
    await page.locator('dialog input[type=file]').setInputFiles(path);
    await page.getByRole('button', { name: 'Upload', exact: true }).click();
    await page.getByRole('button', { name: 'Pause' }).click();
    await page.getByText('Paused').waitFor();
    most = Infinity;
    network.cut();
    await page.getByRole('button', { name: 'Go on' }).click();
    await page.getByText('Done').waitFor();
    expect(passed).toBeLessThan(30 * mib);
    expect(await imageNamed('hollow')).toMatchObject({
      state: Image_State.ACTIVE,
      sizeBytes: BigInt(100 * mib),
    });
    await context.close();
  });

  test('runs in one tab at a time; another one takes it over when that is closed', async () => {
    const path = await makeDisk('shared', 6);
    const context = await browser.newContext();
    const { page: first } = await openPage(context, network.url);
    cutUploadsAfter(3 * mib);
    await first.getByRole('button', { name: 'New image' }).click();
    await first.locator('dialog input[type=file]').setInputFiles(path);
    await first.getByRole('button', { name: 'Upload', exact: true }).click();
    await first.getByText('Waiting for the network').waitFor();
    const { page: second } = await openPage(context, `${service.process.url}/uploads`);
    // Another origin has uploads of its own.
    await second.getByText('This browser is not uploading anything.').waitFor();
    await second.goto(`${network.url}uploads`);
    await second.getByText('Goes on in another tab').waitFor();
    await first.close();
    await second.getByText('Interrupted').waitFor();
    network.decide = () => 'pass';
    await second.locator('.upload input[type=file]').setInputFiles(path);
    await second.getByText('Done').waitFor();
    expect((await imageNamed('shared'))?.state).toBe(Image_State.ACTIVE);
    await context.close();
  });

  test('works where the page came without TLS from another machine', async () => {
    const cleanUps = new CleanUps();
    try {
      const named = await startService({ DARKROOM_HOSTS: 'darkroom.test' }, cleanUps.defer);
      const far = await openBrowser(cleanUps.defer, [
        '--host-resolver-rules=MAP darkroom.test 127.0.0.1',
      ]);
      const context = await far.newContext();
      const { port } = new URL(named.process.url);
      const { page, complaints } = await openPage(context, `http://darkroom.test:${port}/`);
      // What browsers keep from such pages.
      expect(await page.evaluate('[isSecureContext, typeof navigator.locks]')).toEqual([
        false,
        'undefined',
      ]);
      const path = await makeDisk('insecure', 3);
      await page.getByRole('button', { name: 'New image' }).first().click();
      await page.locator('dialog input[type=file]').setInputFiles(path);
      await page.getByRole('button', { name: 'Upload', exact: true }).click();
      await page.getByText('Done').waitFor();
      const { images } = await named.images.listImages({ filter: { name: 'insecure' } });
      expect(images[0]?.state).toBe(Image_State.ACTIVE);
      expect(complaints).toEqual([]);
    } finally {
      await cleanUps.run();
    }
  });
});

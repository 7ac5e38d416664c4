import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import type { Browser, Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_Visibility } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startService, uploadFrames, type RunningService } from '../support/running-service.ts';
import { axeFindings, builtConsole, hasChromium, openBrowser, openPage } from './console-page.ts';

const { RAW, QCOW2 } = Image_DiskFormat;

describe.skipIf(!hasChromium)('the console', () => {
  let service: RunningService;
  let browser: Browser;
  /** Answers 404. */
  let source: string;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    await builtConsole();
    const server = createServer((_, response) => response.writeHead(404).end());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanUps.defer(async () => void server.close());
    source = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    service = await startService(
      { DARKROOM_IMPORT_SPECIAL_ADDRESSES: '127.0.0.1', DARKROOM_IMPORT_PORTS: '*' },
      cleanUps.defer,
    );
    browser = await openBrowser(cleanUps.defer);
    return cleanUps.run;
  });

  /** An image of a few bytes, ACTIVE if they all go. */
  async function makeImage(name: string, bytes = 100_000, until?: number) {
    const { image, task } = await service.images.createImage({
      image: { name, diskFormat: RAW },
      source: { case: 'upload', value: { totalSize: BigInt(bytes) } },
    });
    const data = Buffer.alloc(bytes, name);
    await service.images.uploadImage(
      uploadFrames(data, { taskId: task!.id, ...(until !== undefined && { until }) }),
    );
    return { imageId: image!.id, taskId: task!.id };
  }

  async function open(path: string): Promise<{ page: Page; complaints: string[] }> {
    const context = await browser.newContext();
    return openPage(context, service.process.url + path);
  }

  test('tells why a failing import failed, and what to do', async () => {
    const { page, complaints } = await open('/');
    await page.getByRole('button', { name: 'New image' }).first().click();
    await page.getByRole('button', { name: 'From an address' }).click();
    await page.getByLabel('Address').fill(`${source}/debian-13.qcow2`);
    await page.getByLabel('Name', { exact: true }).click();
    await expect
      .poll(() => page.getByLabel('Name', { exact: true }).inputValue())
      .toBe('debian-13');
    await page.getByRole('button', { name: 'Import', exact: true }).click();
    await page.getByText('Failed', { exact: true }).first().waitFor();
    const fault = page.locator('.fault').first();
    await fault.waitFor();
    const told = await fault.innerText();
    expect(told).toContain('SOURCE_HTTP_STATUS');
    expect(told).toContain('404');
    expect(told).toContain('Open the address in a browser');
    await page.getByRole('button', { name: 'Retry' }).click();
    await page.getByText('the attempt before').waitFor();
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  test('cancels a task when that was confirmed, and a second tab follows it live', async () => {
    const { taskId } = await makeImage('half of it', 2_000_000, 1_000_000);
    const { page } = await open(`/tasks/${taskId}`);
    const { page: second } = await openPage(page.context(), `${service.process.url}/tasks`);
    await second.bringToFront();
    const row = second.getByRole('row').filter({ hasText: 'half of it' });
    await row.getByText('Running').waitFor();
    // What the first tab does, another one sees without a reload.
    await page.bringToFront();
    await page.getByRole('button', { name: 'Cancel…' }).click();
    await page.getByLabel('Why, for whoever waits for the image').fill('not needed any more');
    await page.getByRole('button', { name: 'Cancel the task' }).click();
    await page.getByText('Cancelled', { exact: true }).first().waitFor();
    await row.getByText('Cancelled').waitFor();
    const { task } = await service.tasks.getTask({ taskId });
    expect(task?.state).toBe(Task_State.CANCELLED);
    await page.getByText('not needed any more').first().waitFor();
    await page.context().close();
  });

  test('shows progress live, with its rate and the time that is left', async () => {
    const { task } = await service.images.createImage({
      image: { name: 'slow snapshot', diskFormat: QCOW2 },
      source: {
        case: 'snapshot',
        value: { totalSize: 10_000_000_000n, labels: { instance: 'a' } },
      },
    });
    const { page } = await open('/tasks');
    const row = page.getByRole('row').filter({ hasText: 'slow snapshot' });
    await row.waitFor();
    let done = 0n;
    const timer = setInterval(() => {
      done += 50_000_000n;
      void service.tasks
        .reportProgress({
          taskId: task!.id,
          message: '',
          bytesDone: done,
          bytesTotal: 10_000_000_000n,
        })
        .catch(() => undefined);
    }, 400);
    try {
      await expect
        .poll(() => row.innerText(), { timeout: 60_000 })
        .toMatch(/ of 9\.31 GiB · \d+ %[^]*MiB\/s[^]*\d+ (?:s|min)/);
    } finally {
      clearInterval(timer);
    }
    await service.tasks.reportFault({
      taskId: task!.id,
      code: 10,
      reason: 'DISK_VANISHED',
      message: 'The disk of the machine is gone.',
      fatal: true,
    });
    await row.getByText('Failed').waitFor();
    await row.getByText('DISK_VANISHED').waitFor();
    await page.context().close();
  });

  test('edits an image, undoes that, and deletes it when that was confirmed', async () => {
    const { imageId } = await makeImage('to be edited');
    const { page, complaints } = await open(`/images/${imageId}`);
    await page.getByRole('button', { name: 'Edit…' }).click();
    await page.getByLabel('Name', { exact: true }).fill('edited');
    await page.getByLabel('Properties').fill('os_distro = debian\nnote = a = b');
    await page.getByLabel('Tags').fill('stable, tested');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('heading', { name: 'edited', exact: true }).waitFor();
    expect((await service.images.getImage({ imageId })).image).toMatchObject({
      name: 'edited',
      properties: { os_distro: 'debian', note: 'a = b' },
      tags: ['stable', 'tested'],
    });
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByRole('heading', { name: 'to be edited' }).waitFor();
    expect((await service.images.getImage({ imageId })).image).toMatchObject({
      name: 'to be edited',
      properties: {},
      tags: [],
    });
    await page.getByRole('button', { name: 'Delete…' }).click();
    await page.getByRole('button', { name: 'Keep it' }).click();
    expect((await service.images.getImage({ imageId })).image?.deleteTime).toBeUndefined();
    await page.getByRole('button', { name: 'Delete…' }).click();
    await page.getByRole('button', { name: 'Delete the image' }).click();
    await page.getByText('Deleted', { exact: true }).first().waitFor();
    expect((await service.images.getImage({ imageId })).image?.deleteTime).toBeDefined();
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  test('does not undo or save over what somebody else has changed', async () => {
    const { imageId } = await makeImage('contested');
    const { page } = await open(`/images/${imageId}`);
    await page.getByRole('button', { name: 'Edit…' }).click();
    await service.images.updateImage({
      image: { id: imageId, name: 'of somebody else' },
      updateMask: { paths: ['name'] },
    });
    await page.getByLabel('Name', { exact: true }).fill('mine');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('ETAG_MISMATCH').waitFor();
    expect((await service.images.getImage({ imageId })).image?.name).toBe('of somebody else');
    await page.context().close();
  });

  test('shares an image with projects, and shares it no more', async () => {
    const { imageId } = await makeImage('shared');
    await service.images.updateImage({
      image: { id: imageId, visibility: Image_Visibility.SHARED },
      updateMask: { paths: ['visibility'] },
    });
    const { page } = await open(`/images/${imageId}`);
    await page.getByLabel('One more project').fill('garden');
    await page.getByRole('button', { name: 'Share' }).click();
    await page.getByText('has not answered').waitFor();
    await page.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('has not answered').waitFor();
    const { members } = await service.images.listImageMembers({ imageId });
    expect(members.map(({ memberProjectId }) => memberProjectId)).toEqual(['garden']);
    await page.context().close();
  });

  test('gives an image’s bytes to the browser', async () => {
    const { imageId } = await makeImage('downloaded');
    const { page } = await open(`/images/${imageId}`);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('link', { name: 'Download' }).click(),
    ]);
    expect(download.suggestedFilename()).toBe('downloaded.raw');
    const bytes = Buffer.concat(await (await download.createReadStream()).toArray());
    expect(bytes.equals(Buffer.alloc(100_000, 'downloaded'))).toBe(true);
    await page.context().close();
  });

  test('keeps what it was narrowed down to in its address', async () => {
    await makeImage('needle');
    await makeImage('hay');
    const { page } = await open('/images');
    const names = async (): Promise<string[]> =>
      page.getByRole('table', { name: 'Images' }).locator('.row-target').allInnerTexts();
    await expect.poll(names).toContain('hay');
    await page.keyboard.press('/');
    await page.keyboard.type('need');
    await expect.poll(names).toEqual(['needle']);
    expect(new URL(page.url()).search).toBe('?q=need');
    await page.getByRole('button', { name: 'Not coming' }).click();
    await page.getByText('No image is like that.').waitFor();
    expect(new URL(page.url()).search).toBe('?q=need&outlook=not-coming');
    await page.goBack();
    await expect.poll(names).toEqual(['needle']);
    await page.reload();
    await expect.poll(names).toEqual(['needle']);
    expect(await page.getByRole('searchbox').inputValue()).toBe('need');
    await page.context().close();
  });

  test('is led by the keyboard alone', async () => {
    const { imageId } = await makeImage('by keys');
    const { page } = await open('/images?q=by+keys');
    await page.locator('.row-target').first().waitFor();
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the page');
    for (let presses = 0; presses < 30; presses += 1) {
      await page.keyboard.press('Tab');
      if ((await page.evaluate('document.activeElement.textContent')) === 'by keys') {
        break;
      }
    }
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'by keys' }).waitFor();
    expect(new URL(page.url()).pathname).toBe(`/images/${imageId}`);
    // Who goes by keys begins at the head of the new page.
    await expect.poll(() => page.evaluate('document.activeElement.tagName')).toBe('H1');
    await page.getByRole('button', { name: 'Delete…' }).press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    expect(await page.getByRole('dialog').count()).toBe(0);
    await page.context().close();
  });

  test('shows names as they are, whatever they hold', async () => {
    const name = '<img src=x onerror="alert(1)"> & "quotes"';
    await service.images.createImage({
      image: { name, diskFormat: RAW },
      source: { case: 'upload', value: {} },
    });
    const { page, complaints } = await open('/images');
    await page.getByText(name, { exact: true }).waitFor();
    expect(await page.locator('main img').count()).toBe(0);
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  describe('has nothing that axe finds', () => {
    let places: readonly (readonly [string, string])[];
    beforeAll(async () => {
      const whole = await makeImage('whole');
      const half = await makeImage('half', 500_000, 200_000);
      const failed = await makeImage('failed', 500_000, 200_000);
      await service.tasks.reportFault({
        taskId: failed.taskId,
        code: 10,
        reason: 'BUILD_FAILED',
        message: 'The build failed.',
        detail: 'exit code 137',
        fatal: true,
      });
      places = [
        ['images', '/images'],
        ['no images', '/images?q=nothing+is+like+that'],
        ['an image', `/images/${whole.imageId}`],
        ['an image that never comes', `/images/${failed.imageId}`],
        ['no image', '/images/01a21b4d-6b4e-7498-a0b6-078373caa4af'],
        ['tasks', '/tasks?state=all'],
        ['a task at work', `/tasks/${half.taskId}`],
        ['a failed task', `/tasks/${failed.taskId}`],
        ['uploads', '/uploads'],
      ];
    });

    test.for([
      ['light', 1440],
      ['dark', 1440],
      ['light', 390],
      ['dark', 390],
    ] as const)('in %s at %i px', async ([colorScheme, width]) => {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 } });
      const { page, complaints } = await openPage(context, service.process.url);
      for (const [name, path] of places) {
        await page.goto(service.process.url + path);
        await page.locator('h1, .empty-title').first().waitFor();
        await page.locator('.loading').waitFor({ state: 'detached' });
        expect([name, await axeFindings(page)]).toEqual([name, []]);
        const [inner, outer] = await page.evaluate<number[]>(
          '[document.documentElement.scrollWidth, innerWidth]',
        );
        expect([name, inner! <= outer!]).toEqual([name, true]);
      }
      await page.getByRole('button', { name: 'New image' }).first().click();
      expect(await axeFindings(page)).toEqual([]);
      await page.getByRole('button', { name: 'From an address' }).click();
      expect(await axeFindings(page)).toEqual([]);
      await page.keyboard.press('Escape');
      await page.goto(service.process.url + places[2]![1]);
      await page.getByRole('button', { name: 'Edit…' }).click();
      expect(await axeFindings(page)).toEqual([]);
      expect(complaints).toEqual([]);
      await context.close();
    });
  });
});

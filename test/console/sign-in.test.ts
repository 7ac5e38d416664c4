import type { Browser, BrowserContext, Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { projectTokens } from '../support/project-tokens.ts';
import {
  connectTo,
  startService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';
import { axeFindings, builtConsole, hasChromium, openBrowser, openPage } from './console-page.ts';

describe.skipIf(!hasChromium)('a service that asks who calls', () => {
  let service: RunningService;
  let browser: Browser;
  let member: string;
  let reader: string;
  let imageId: string;
  const bytes = Buffer.alloc(50_000, 'rose');

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    await builtConsole();
    const tokens = await projectTokens(cleanUps.defer);
    member = tokens.tokenOf('garden', 'member');
    reader = tokens.tokenOf('garden', 'reader');
    service = await startService({ DARKROOM_TOKENS_FILE: tokens.file }, cleanUps.defer);
    const { images } = connectTo(service.process.url, { authorization: `Bearer ${member}` });
    const { image, task } = await images.createImage({
      image: { name: 'rose', diskFormat: Image_DiskFormat.RAW },
      source: { case: 'upload', value: {} },
    });
    await images.uploadImage(uploadFrames(bytes, { taskId: task!.id }));
    imageId = image!.id;
    browser = await openBrowser(cleanUps.defer);
    return cleanUps.run;
  });

  async function signedIn(token: string): Promise<{ context: BrowserContext; page: Page }> {
    const context = await browser.newContext();
    const { page } = await openPage(context, `${service.process.url}/images/${imageId}`);
    await page.getByLabel('Token').fill(`Bearer ${token}`);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'rose' }).waitFor();
    return { context, page };
  }

  test('is signed in to by a token, which stays in its tab, and out of the address', async () => {
    const context = await browser.newContext();
    const { page, complaints } = await openPage(context, `${service.process.url}/images`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await axeFindings(page)).toEqual([]);
    await page.getByLabel('Token').fill('dr_wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('.field-wrong .field-note').waitFor();
    await page.getByLabel('Token').fill('two words');
    await page.getByText('A token has neither blanks').waitFor();
    await page.getByLabel('Token').fill(member);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('rose').waitFor();
    await expect.poll(() => page.locator('.project').innerText()).toBe('garden');
    expect(page.url()).toBe(`${service.process.url}/images`);
    expect(await page.evaluate('[localStorage.length, document.cookie]')).toEqual([0, '']);
    await page.reload();
    await page.getByText('rose').waitFor();
    const { page: another } = await openPage(context, `${service.process.url}/images`);
    await another.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.evaluate('sessionStorage.length')).toBe(0);
    expect(complaints).toEqual([]);
    await context.close();
  });

  test('gives bytes to who has signed in', async () => {
    const { context, page } = await signedIn(member);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download' }).click(),
    ]);
    const given = Buffer.concat(await (await download.createReadStream()).toArray());
    expect(given.equals(bytes)).toBe(true);
    await context.close();
  });

  test('tells a reader what a reader may not do, and offers it no more', async () => {
    const { context, page } = await signedIn(reader);
    await page.getByRole('button', { name: 'Delete…' }).click();
    await page.getByRole('button', { name: 'Delete the image' }).click();
    await page.getByText('this call is for the roles', { exact: false }).waitFor();
    const remove = page.getByRole('button', { name: 'Delete…' });
    await expect.poll(() => remove.getAttribute('aria-disabled')).toBe('true');
    expect(await remove.getAttribute('title')).toContain('reader');
    await remove.focus();
    await page.keyboard.press('Enter');
    expect(await page.getByRole('dialog').count()).toBe(0);
    await context.close();
  });
});

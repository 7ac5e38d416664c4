import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findFreePort } from '../support/free-port.ts';
import { hasGlance } from '../support/glance.ts';
import { clouds, makeInGlance, reported, startMigration } from './fixtures.ts';
import { GlanceProxy } from './glance-proxy.ts';

const MiB = 1024 * 1024;
const port = String(await findFreePort());

describe.skipIf(!hasGlance())('a copy that breaks', () => {
  const both = clouds({ DARKROOM_PORT: port });
  const bytes = randomBytes(12 * MiB + 3);
  const sha256 = createHash('sha256').update(bytes).digest('hex');

  const show = async (id: string) =>
    (await both().ofDarkroom('garden')('GET', `/v2/images/${id}`)).body;
  const stored = async (id: string): Promise<number> => {
    const { headers } = await both().ofDarkroom('garden')('HEAD', `/v2/images/${id}/file`);
    return Number(headers.get('upload-offset'));
  };
  /** Waits until some of the bytes count. */
  const untilStored = async (id: string): Promise<void> => {
    await expect.poll(() => stored(id), { timeout: 30_000 }).toBeGreaterThan(MiB);
  };

  test('the command is killed: the image is not active, and the next run goes on where it was', async () => {
    const id = await makeInGlance(both(), {}, bytes);
    const proxy = await GlanceProxy.open(both().glance.url, { kind: 'hold', after: 6 * MiB });
    const report = join(both().folder, 'killed.json');
    const args = ['--image', id, '--report', report];
    const first = startMigration(both(), args, proxy.url);
    await untilStored(id);
    first.child.kill('SIGKILL');
    await first.ended;
    expect(await show(id)).toMatchObject({ os_hash_value: null });

    const { code } = await startMigration(both(), args, proxy.url).ended;
    expect(code).toBe(0);
    expect(await show(id)).toMatchObject({ status: 'active', os_hash_value: sha256 });
    expect(proxy.ranges).toEqual([undefined, expect.stringMatching(/^bytes=\d+-$/)]);
    const entry = await reported(report, id);
    expect(entry).toMatchObject({ outcome: 'copied', verified: 'by Darkroom' });
    expect(entry!.bytes_sent).toBeLessThan(bytes.length);
  });

  test('Glance breaks off: the same run goes on with the rest', async () => {
    const id = await makeInGlance(both(), {}, bytes);
    const cut = (after: number) => ({ kind: 'cut', after }) as const;
    const proxy = await GlanceProxy.open(both().glance.url, cut(5 * MiB), cut(2 * MiB));
    const { code, output } = await startMigration(both(), ['--image', id], proxy.url).ended;
    expect(output).toMatch(/^copied +1/m);
    expect(code).toBe(0);
    expect(await show(id)).toMatchObject({ status: 'active', os_hash_value: sha256 });
    // While what came last is still being made to count, some of it is sent again, and compared.
    const rest: unknown = expect.stringMatching(/^bytes=[1-9]\d*-$/);
    expect(proxy.ranges).toEqual([undefined, rest, rest]);
  });

  test('Darkroom is killed and comes back: the same run goes on', async () => {
    const id = await makeInGlance(both(), {}, bytes);
    const proxy = await GlanceProxy.open(both().glance.url, { kind: 'hold', after: 6 * MiB });
    const running = startMigration(both(), ['--image', id], proxy.url);
    await untilStored(id);
    await both().service.process.kill('SIGKILL');
    await both().service.another();
    const { code, output } = await running.ended;
    expect(output).toMatch(/^copied +1/m);
    expect(code).toBe(0);
    expect(await show(id)).toMatchObject({ status: 'active', os_hash_value: sha256 });
  });

  test('one byte was altered on the way: it is seen before the image is active, and the right ones are sent', async () => {
    const id = await makeInGlance(both(), {}, bytes);
    const proxy = await GlanceProxy.open(both().glance.url, { kind: 'alter', at: 4 * MiB + 1 });
    const { code, output } = await startMigration(both(), ['--image', id], proxy.url).ended;
    expect(output).toMatch(/^copied +1/m);
    expect(code).toBe(0);
    expect(proxy.ranges).toEqual([undefined, undefined]);
    expect(await show(id)).toMatchObject({ status: 'active', os_hash_value: sha256 });
    const { body } = await both().ofDarkroom('garden')('GET', `/v2/images/${id}/tasks`);
    const tasks = body?.['tasks'] as { status: string; message: string }[];
    expect(tasks.map(({ status }) => status)).toEqual(['success', 'failure']);
    expect(tasks[1]!.message).toMatch(/^DIGEST_MISMATCH: Glance has sent other bytes than it says/);
  });

  test('one byte is altered whenever it is read: no image is active, and a later run begins anew', async () => {
    const id = await makeInGlance(both(), {}, bytes);
    const altering = { kind: 'alter', at: bytes.length - 1 } as const;
    const proxy = await GlanceProxy.open(both().glance.url, altering, altering);
    const { code, output } = await startMigration(both(), ['--image', id], proxy.url).ended;
    expect(code).toBe(1);
    expect(output).toMatch(/failed: SOURCE_DIFFERS: .*their md5 and sha512 differs/);
    await expect.poll(() => show(id)).toMatchObject({ status: 'queued', os_hash_value: null });
    expect((await startMigration(both(), ['--image', id], proxy.url).ended).code).toBe(0);
    expect(await show(id)).toMatchObject({ status: 'active', os_hash_value: sha256 });
  });

  test('the rest that is sent after a break is altered: Darkroom sees it', async () => {
    const id = await makeInGlance(both(), {}, bytes);
    const proxy = await GlanceProxy.open(
      both().glance.url,
      { kind: 'cut', after: 5 * MiB },
      { kind: 'alter', at: MiB },
    );
    const { code, output } = await startMigration(both(), ['--image', id], proxy.url).ended;
    expect(output).toMatch(/^copied +1/m);
    expect(code).toBe(0);
    expect(proxy.ranges).toEqual([undefined, expect.stringMatching(/^bytes=/), undefined]);
    expect(await show(id)).toMatchObject({ status: 'active', os_hash_value: sha256 });
  });

  test('Glance ends too early, as if that were all: it is no image', async () => {
    const id = await makeInGlance(both(), {}, bytes);
    const end = { kind: 'end', after: 3 * MiB } as const;
    const proxy = await GlanceProxy.open(both().glance.url, end, end);
    const { code, output } = await startMigration(both(), ['--image', id], proxy.url).ended;
    expect(code).toBe(1);
    expect(output).toContain(
      `says that the image has ${bytes.length} bytes, and has sent ${3 * MiB}`,
    );
    await expect.poll(() => show(id)).toMatchObject({ status: 'queued', os_hash_value: null });
  });

  test('what is no Darkroom gets nothing: it would take a part of an image for all of it', async () => {
    const { glance, service } = both();
    const another = { ...service, process: { ...service.process, url: glance.url } };
    const { code, errors } = await startMigration({ ...both(), service: another }, []).ended;
    expect(code).toBe(1);
    expect(errors).toContain(`there is no Darkroom at ${glance.url}, or it is not ready`);
  });

  test('Glance is not there: that is said, and nothing was done', async () => {
    const from = `http://127.0.0.1:${await findFreePort()}`;
    const { code, output, errors } = await startMigration(both(), [], from).ended;
    expect({ code, output }).toEqual({ code: 1, output: '' });
    expect(errors).toMatch(/ECONNREFUSED/);
  });
});

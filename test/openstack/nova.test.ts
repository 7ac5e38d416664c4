import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { sharedService } from '../server/rest/fixtures.ts';
import { ask, expectBytes } from '../server/rest/put-fixtures.ts';
import { hasPythonModule } from '../support/disk-images.ts';
import { findFreePort } from '../support/free-port.ts';
import { startProgram } from '../support/programs.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { CuttingProxy, type Cut } from './cutting-proxy.ts';

const MiB = 1024 * 1024;
// A program that takes seconds to start, and waits a second before it tries again.
vi.setConfig({ testTimeout: 240_000 });

/** Nova's own driver, from Debian's python3-nova: what a compute service takes its snapshots by. */
describe.skipIf(!hasPythonModule('/usr/bin/python3', 'nova.image.glance', 'python3-nova'))(
  'Nova',
  () => {
    const service = sharedService();
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'darkroom-nova-'));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    /** What Nova makes of a snapshot. */
    interface Outcome {
      readonly id: string;
      readonly status?: string;
      readonly size?: number;
      readonly properties?: Record<string, string>;
      readonly error?: string;
    }

    /** Has Nova take a snapshot. @param onMade told of the image when it is made. */
    async function snapshot(
      url: string,
      bytes: Buffer,
      kind: 'of a disk' | 'of volumes' = 'of a disk',
      onMade: (imageId: string) => void = () => {},
    ): Promise<Outcome> {
      const path = join(folder, randomUUID());
      await writeFile(path, bytes);
      const script = 'test/clients/nova_snapshot.py';
      const program = startProgram('/usr/bin/python3', ['-W', 'ignore', script, url, path, kind]);
      await expect
        .poll(() => program.lines.length, { timeout: 60_000, interval: 5 })
        .toBeGreaterThan(0);
      onMade((JSON.parse(program.lines[0] ?? '') as Outcome).id);
      expect(await program.exited, program.errors()).toBe(0);
      return JSON.parse(program.lines.at(-1) ?? '') as Outcome;
    }

    async function stateOf({ images }: RunningService, imageId: string) {
      return (await images.getImage({ imageId })).image?.state;
    }

    test('takes a snapshot', async () => {
      const bytes = randomBytes(3 * MiB + 17);
      const outcome = await snapshot(service().process.url, bytes);
      expect(outcome).toMatchObject({ status: 'active', size: bytes.length });
      expect(outcome.properties).toMatchObject({
        image_type: 'snapshot',
        instance_uuid: '8b3e',
        os_type: 'linux',
      });
      await expectBytes(service(), outcome.id, bytes);
    });

    test('takes a snapshot of volumes, whose image has no bytes', async () => {
      const outcome = await snapshot(service().process.url, Buffer.alloc(0), 'of volumes');
      expect(outcome).toMatchObject({ status: 'active', size: 0 });
      expect(outcome.properties).toMatchObject({ bdm_v2: 'True' });
    });

    test.each<[string, () => Buffer, Cut[]]>([
      ['in the middle', () => randomBytes(6 * MiB), [{ after: 3 * MiB }]],
      ['before the first byte', () => randomBytes(6 * MiB), [{ after: 0 }]],
      [
        'again and again',
        () => randomBytes(6 * MiB),
        [{ after: MiB }, { after: MiB }, { after: MiB }],
      ],
      ['of a disk that is all zeros', () => Buffer.alloc(6 * MiB), [{ after: 3 * MiB }]],
      [
        'of a disk that is the same again and again',
        () => Buffer.alloc(6 * MiB, randomBytes(65_536)),
        [{ after: 65_536 * 40 }],
      ],
      ['just before its end', () => randomBytes(2 * MiB), [{ after: 2 * MiB + 32 * 9 }]],
    ])(
      'learns that its upload failed that was cut %s, and makes no image of the rest',
      async (_, make, cuts) => {
        const bytes = make();
        const proxy = await CuttingProxy.open(service().process.url, cuts);
        const outcome = await snapshot(proxy.url, bytes);
        const imageId = outcome.id;
        expect(proxy.puts).toBeGreaterThan(1);
        expect(await stateOf(service(), imageId)).toBe(Image_State.QUEUED);
        expect(outcome.error).toBeDefined();
        // Whoever has the source goes on with it.
        const path = `/v2/images/${imageId}/file`;
        const offset = Number((await ask(service(), 'HEAD', path)).headers['upload-offset']);
        const answer = await ask(
          service(),
          'PUT',
          path,
          {
            // Nothing but the end of it may have been missing.
            'content-range':
              offset === bytes.length
                ? `bytes */${offset}`
                : `bytes ${offset}-${bytes.length - 1}/${bytes.length}`,
          },
          bytes.subarray(offset),
        );
        expect(answer.status).toBe(204);
        await expectBytes(service(), imageId, bytes);
      },
    );

    test('whose answer was lost finds its image complete', async () => {
      const bytes = randomBytes(3 * MiB);
      const proxy = await CuttingProxy.open(service().process.url, ['the answer']);
      const outcome = await snapshot(proxy.url, bytes);
      expect(outcome).toMatchObject({ status: 'active', size: bytes.length });
      expect(proxy.puts).toBe(2);
      await expectBytes(service(), outcome.id, bytes);
    });

    test('makes no image of the rest where the service is killed and comes back', async () => {
      const port = String(await findFreePort());
      const first = await startService({ DARKROOM_PORT: port });
      const bytes = randomBytes(96 * MiB);
      const proxy = await CuttingProxy.open(first.process.url, []);
      const made = Promise.withResolvers<string>();
      const outcome = snapshot(proxy.url, bytes, 'of a disk', made.resolve);
      const imageId = await made.promise;
      const path = `/v2/images/${imageId}/file`;
      await expect
        .poll(async () => Number((await ask(first, 'HEAD', path)).headers['upload-offset'] ?? 0), {
          timeout: 60_000,
          interval: 5,
        })
        .toBeGreaterThan(0);
      await first.process.kill('SIGKILL');
      const next = await first.another();
      const { status } = await outcome;
      if (status === undefined) {
        expect(await stateOf(next, imageId)).toBe(Image_State.QUEUED);
      } else {
        // It was faster than the kill.
        await expectBytes(next, imageId, bytes);
      }
    });
  },
);

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { makeUpload, sharedService } from '../server/rest/fixtures.ts';
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

    /** What Nova makes of the upload of a snapshot. */
    async function upload(
      url: string,
      imageId: string,
      bytes: Buffer,
    ): Promise<{ status?: string; size?: number; error?: string; message?: string }> {
      const path = join(folder, imageId);
      await writeFile(path, bytes);
      const program = startProgram('/usr/bin/python3', [
        '-W',
        'ignore',
        'test/clients/nova_snapshot.py',
        url,
        imageId,
        path,
      ]);
      expect(await program.exited, program.errors()).toBe(0);
      return JSON.parse(program.lines.at(-1) ?? '') as object;
    }

    async function stateOf({ images }: RunningService, imageId: string) {
      return (await images.getImage({ imageId })).image?.state;
    }

    test('uploads a snapshot', async () => {
      const { imageId } = await makeUpload(service());
      const bytes = randomBytes(3 * MiB + 17);
      expect(await upload(service().process.url, imageId, bytes)).toEqual({
        status: 'active',
        size: bytes.length,
      });
      await expectBytes(service(), imageId, bytes);
    });

    test.each<[string, () => Buffer, Cut[]]>([
      ['in the middle', () => randomBytes(6 * MiB), [{ after: 3 * MiB }]],
      ['before the first byte', () => randomBytes(6 * MiB), [{ after: 400 }]],
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
      ['just before its end', () => randomBytes(2 * MiB), [{ after: 2 * MiB + 300 }]],
    ])(
      'learns that its upload failed that was cut %s, and makes no image of the rest',
      async (_, make, cuts) => {
        const { imageId } = await makeUpload(service());
        const bytes = make();
        const proxy = await CuttingProxy.open(service().process.url, cuts);
        const outcome = await upload(proxy.url, imageId, bytes);
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
            'content-range': `bytes ${offset}-${bytes.length - 1}/${bytes.length}`,
          },
          bytes.subarray(offset),
        );
        expect(answer.status).toBe(204);
        await expectBytes(service(), imageId, bytes);
      },
    );

    test('whose answer was lost finds its image complete', async () => {
      const { imageId } = await makeUpload(service());
      const bytes = randomBytes(3 * MiB);
      const proxy = await CuttingProxy.open(service().process.url, ['the answer']);
      expect(await upload(proxy.url, imageId, bytes)).toEqual({
        status: 'active',
        size: bytes.length,
      });
      expect(proxy.puts).toBe(2);
      await expectBytes(service(), imageId, bytes);
    });

    test('makes no image of the rest where the service is killed and comes back', async () => {
      const port = String(await findFreePort());
      const first = await startService({ DARKROOM_PORT: port });
      const { imageId } = await makeUpload(first);
      const bytes = randomBytes(96 * MiB);
      const proxy = await CuttingProxy.open(first.process.url, []);
      const outcome = upload(proxy.url, imageId, bytes);
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

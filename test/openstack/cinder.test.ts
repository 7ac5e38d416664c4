import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { sharedService } from '../server/rest/fixtures.ts';
import { expectBytes } from '../server/rest/put-fixtures.ts';
import { hasPythonModule } from '../support/disk-images.ts';
import { startProgram } from '../support/programs.ts';
import { CuttingProxy, type Cut } from './cutting-proxy.ts';

const MiB = 1024 * 1024;
// A program that takes seconds to start, and waits a second before it tries again.
vi.setConfig({ testTimeout: 240_000 });

/** Cinder's own driver, from Debian's python3-cinder: what a volume service makes images of volumes by, and volumes of images. */
describe.skipIf(!hasPythonModule('/usr/bin/python3', 'cinder.image.glance', 'python3-cinder'))(
  'Cinder',
  () => {
    const service = sharedService();
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'darkroom-cinder-'));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    /** What came of a volume that was uploaded, and of another one that was made of the image. */
    interface Outcome {
      readonly id: string;
      readonly status?: string;
      readonly size?: number;
      readonly properties?: Record<string, string>;
      readonly listed?: readonly string[];
      readonly location?: string | null;
      readonly changed?: Record<string, string>;
      readonly error?: string;
    }

    async function upload(url: string, bytes: Buffer): Promise<[Outcome, saved: string]> {
      const path = join(folder, randomUUID());
      const saved = join(folder, randomUUID());
      await writeFile(path, bytes);
      const script = 'test/clients/cinder_images.py';
      const program = startProgram('/usr/bin/python3', ['-W', 'ignore', script, url, path, saved]);
      expect(await program.exited, program.errors()).toBe(0);
      return [JSON.parse(program.lines.at(-1) ?? '') as Outcome, saved];
    }

    test('makes an image of a volume, and a volume of that', async () => {
      const bytes = randomBytes(3 * MiB + 17);
      const [outcome, saved] = await upload(service().process.url, bytes);
      expect(outcome).toMatchObject({ status: 'active', size: bytes.length, location: null });
      expect(outcome.properties).toMatchObject({ signature_verified: 'False' });
      expect(outcome.listed).toContain(outcome.id);
      expect(await readFile(saved)).toEqual(bytes);
      expect(outcome.changed).toMatchObject({ kept: '1' });
      await expectBytes(service(), outcome.id, bytes);
    });

    test.each<[string, Cut]>([
      ['in the middle', { after: 3 * MiB }],
      ['before the first byte', { after: 0 }],
    ])(
      'learns that its upload failed that was cut %s, and makes no image of the rest',
      async (_, cut) => {
        const proxy = await CuttingProxy.open(service().process.url, [cut]);
        const [outcome] = await upload(proxy.url, randomBytes(6 * MiB));
        expect(proxy.puts).toBeGreaterThan(0);
        expect(outcome.error).toBeDefined();
        const { image } = await service().images.getImage({ imageId: outcome.id });
        expect(image?.state).toBe(Image_State.QUEUED);
      },
    );

    test('whose answer was lost learns that its image is complete, or that it failed', async () => {
      const bytes = randomBytes(3 * MiB);
      const proxy = await CuttingProxy.open(service().process.url, ['the answer']);
      const [outcome] = await upload(proxy.url, bytes);
      // Whatever Cinder makes of it, the image is the volume.
      expect(outcome.error === undefined || outcome.status === undefined).toBe(true);
      await expectBytes(service(), outcome.id, bytes);
    });
  },
);

import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, inject, onTestFinished, test, vi } from 'vitest';
import { databaseUrl } from '../support/database-cluster.ts';
import { findFreePort } from '../support/free-port.ts';
import {
  connectTo,
  downloadBytes,
  startService,
  uploadFrames,
} from '../support/running-service.ts';
import { failureToStart, makeDataDir, startServiceProcess } from '../support/service-process.ts';
import { createEmptyDatabase, createTestDatabase } from '../support/test-database.ts';
import { createRequest } from './bad-input/case.ts';

// Services that start and stop again, on however busy a machine.
vi.setConfig({ testTimeout: 240_000 });

const bytes = Buffer.alloc(1_000_000, 'in this folder');

describe('a service that is given a DATABASE_URL', () => {
  test('starts no PostgreSQL of its own', async () => {
    const { dataDir, process } = await startService();
    expect(process.log.find(({ msg }) => msg?.startsWith('Darkroom is ready'))).toMatchObject({
      database: 'external',
    });
    expect(existsSync(join(dataDir, 'blobs'))).toBe(true);
    expect(existsSync(join(dataDir, 'postgres'))).toBe(false);
  });

  test('does not start where nobody answers there, or there is no such database', async () => {
    await using dataDir = await makeDataDir();
    const clusterUrl = inject('clusterUrl');
    for (const [url, words] of [
      [`postgresql://user:secret@127.0.0.1:${await findFreePort()}/darkroom`, /ECONNREFUSED/],
      [databaseUrl(clusterUrl, 'no_such_database'), /database "no_such_database" does not exist/],
    ] as const) {
      const { exit, output } = await failureToStart({
        dataDir: dataDir.path,
        databaseUrl: url,
        env: { DARKROOM_DATABASE_WAIT_MS: '100' },
      });
      expect(exit).toBe(1);
      const last = JSON.parse(output.trim().split('\n').at(-1)!) as { level: number; msg: string };
      expect(last.level).toBe(60);
      expect(last.msg).toMatch(words);
      expect(last.msg).toContain('DATABASE_URL');
      expect(output).not.toContain('secret');
    }
    expect(existsSync(join(dataDir.path, 'postgres'))).toBe(false);
  });

  test('refuses the folder of another database, and removes nothing from it', async () => {
    const service = await startService();
    const { image, task } = await service.images.createImage(createRequest());
    await service.images.uploadImage(uploadFrames(bytes, { taskId: task!.id }));
    await service.process.kill('SIGTERM');

    const other = await createTestDatabase();
    onTestFinished(() => other.drop());
    const before = await readdir(service.dataDir, { recursive: true });
    const refused = await failureToStart({ dataDir: service.dataDir, databaseUrl: other.url });
    expect(refused.exit).toBe(1);
    expect(refused.output).toContain(
      'Check DARKROOM_DATA_DIR and DATABASE_URL; nothing was changed',
    );
    expect(await readdir(service.dataDir, { recursive: true })).toEqual(before);

    const again = await service.another();
    expect((await downloadBytes(again.images, image!.id)).bytes.equals(bytes)).toBe(true);
  });

  test('may be started three times at once on an empty database and one folder', async () => {
    const { url, drop } = await createEmptyDatabase();
    onTestFinished(drop);
    await using dataDir = await makeDataDir();
    const processes = await Promise.all(
      [1, 2, 3].map(async () => {
        const process = await startServiceProcess({ dataDir: dataDir.path, databaseUrl: url });
        onTestFinished(async () => void (await process.kill('SIGKILL')));
        return process;
      }),
    );
    const migrations = processes.flatMap(({ log }) =>
      log.flatMap((line) => (line['migrations'] as string[] | undefined) ?? []),
    );
    expect(migrations.length).toBe(new Set(migrations).size);
    expect(migrations.length).toBeGreaterThan(0);

    const [first, second, third] = processes.map((process) => connectTo(process.url));
    const { image, task } = await first!.images.createImage(createRequest());
    await second!.images.uploadImage(uploadFrames(bytes, { taskId: task!.id }));
    expect((await downloadBytes(third!.images, image!.id)).bytes.equals(bytes)).toBe(true);
    for (const process of processes) {
      expect(await process.kill('SIGTERM')).toBe(0);
    }
  });
});

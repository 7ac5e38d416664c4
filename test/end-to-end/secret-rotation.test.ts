import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { importEnv } from '../imports/import-world.ts';
import { startSource } from '../imports/source-server.ts';
import { patience } from '../support/held-upload.ts';
import { startService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';

const secret = 'Bearer p3rchta-header-secret';

/** Keys by their names, of 64 hexadecimal digits each. */
const keys = { old: 'ab'.repeat(32), young: 'cd'.repeat(32), youngest: 'ef'.repeat(32) };

test('keys are exchanged under running imports of several processes, and none fails of it', async () => {
  const folder = await makeDataDir();
  onTestFinished(folder.remove);
  const file = join(folder.path, 'keys');
  /** As Kubernetes and careful operators do it: in one step. */
  const exchange = async (...lines: string[]): Promise<void> => {
    await writeFile(`${file}.next`, lines.map((line) => `${line}\n`).join(''));
    await rename(`${file}.next`, file);
  };
  await exchange(keys.old);
  const service = await startService({
    ...importEnv,
    DARKROOM_IMPORT_MAX_TRIES: '1000',
    DARKROOM_MAX_IMPORTS: '50',
    DARKROOM_MAX_IMPORTS_PER_PROJECT: '100',
    DARKROOM_SECRETS_KEY_FILE: file,
    DARKROOM_PROCESSES: '2',
    DARKROOM_REPAIR_INTERVAL_MS: '1000',
  });
  // Each import is tried again and again, with what is sealed opened each time, until all keys were exchanged.
  let isOpen = false;
  const source = await startSource(({ headers }, response) => {
    if (headers.authorization !== secret) {
      response.writeHead(401).end('who are you');
    } else if (isOpen) {
      response.end('a disk');
    } else {
      response.writeHead(503).end('later');
    }
  });
  const made: string[] = [];
  const createSome = async (): Promise<void> => {
    for (let i = 0; i < 10; i += 1) {
      const { image } = await service.images.createImage({
        image: { name: 'fetched', diskFormat: 1 },
        source: {
          case: 'copyFrom',
          value: {
            from: { case: 'url', value: `${source.origin}/${made.length}` },
            headers: { authorization: secret },
          },
        },
      });
      made.push(image!.id);
    }
  };
  const database = new pg.Client({ connectionString: service.databaseUrl });
  await database.connect();
  onTestFinished(() => database.end());
  /** How many orders are sealed by how many keys. */
  const sealedBy = async (): Promise<readonly string[]> => {
    const { rows } = await database.query<{ key: string }>(
      `select distinct split_part(sealed, '.', 2) as key from import_orders where sealed is not null`,
    );
    return rows.map(({ key }) => key);
  };
  const untilSealedAnew = async (before: readonly string[]): Promise<readonly string[]> => {
    let now: readonly string[] = [];
    await expect
      .poll(async () => {
        now = await sealedBy();
        return now.length === 1 && !before.includes(now[0]!);
      }, patience)
      .toBe(true);
    return now;
  };

  await createSome();
  const first = await sealedBy();
  expect(first).toHaveLength(1);
  // At once, so that one process encrypts by a key that the other one has not read yet.
  await exchange(keys.young, keys.old);
  await createSome();
  const second = await untilSealedAnew(first);
  await exchange(keys.youngest, keys.young);
  await createSome();
  const third = await untilSealedAnew([...first, ...second]);
  await exchange(keys.youngest);
  await createSome();

  await writeFile(file, 'no key');
  await service.process.line(
    ({ msg }) => msg?.includes('64 hexadecimal digits; what it said before holds on') === true,
  );
  await createSome();
  isOpen = true;
  for (const imageId of made) {
    await expect
      .poll(async () => (await service.images.getImage({ imageId })).image?.state, patience)
      .toBe(Image_State.ACTIVE);
  }
  // What is fetched is forgotten.
  expect(await sealedBy()).toEqual([]);
  expect(third).toHaveLength(1);
  expect(service.process.output()).not.toContain('SECRETS_UNREADABLE');
  expect(service.process.output()).not.toContain('p3rchta');
});

import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { patience } from '../support/held-upload.ts';
import { isAlive } from '../support/processes.ts';
import { runProgram } from '../support/programs.ts';
import {
  downloadBytes,
  startEmbeddedService,
  startService,
  uploadFrames,
} from '../support/running-service.ts';
import { failureToStart, makeDataDir, type ServiceProcess } from '../support/service-process.ts';
import { canBeRunBy, nobody } from '../support/unprivileged.ts';
import { createRequest } from './bad-input/case.ts';

/** A PostgreSQL is made and started twice. */
const patient = { timeout: 240_000 };

function postgresPid(process: ServiceProcess): number {
  const line = process.log.find(({ msg }) => msg === 'embedded PostgreSQL is running');
  return Number(line!['pid']);
}

describe.each([
  ['by the user who runs the tests', undefined, true],
  ['by an ordinary user whose home is elsewhere', nobody, canBeRunBy(nobody)],
] as const)('a service that is started on an empty folder, %s', (_, account, isPossible) => {
  test.skipIf(!isPossible)(
    'brings its own PostgreSQL, keeps what it is given, and leaves no process',
    patient,
    async () => {
      const service = await startEmbeddedService({ HOME: '/nonexistent' }, onTestFinished, account);
      const pid = postgresPid(service.process);
      expect(await isAlive(pid)).toBe(true);

      const ready = service.process.log.find(({ msg }) => msg?.startsWith('Darkroom is ready'))!;
      expect(ready).toMatchObject({ url: service.process.url, database: 'embedded' });
      const [, command] = / Try: npx (.*)$/.exec(ready.msg!)!;
      const [program, ...args] = command!.split(' ');
      const { code, output, errors } = await runProgram(`node_modules/.bin/${program!}`, args);
      expect({ code, output }, errors).toEqual({ code: 0, output: '{}' });

      const bytes = Buffer.alloc(100_000, 'kept');
      const { image, task } = await service.images.createImage(createRequest());
      await service.images.uploadImage(uploadFrames(bytes, { taskId: task!.id }));

      const second = await failureToStart({
        dataDir: service.dataDir,
        ...(account && { account }),
      });
      expect(second.exit).toBe(2);
      expect(second.output).toMatch(
        `The data folder ${service.dataDir} is in use by another Darkroom (pid ${service.process.pid}`,
      );
      expect(second.output).toContain('DARKROOM_DATA_DIR');

      expect(await service.process.kill('SIGTERM')).toBe(0);
      expect(service.process.log.at(-1)?.msg).toBe('stopped');
      await expect.poll(() => isAlive(pid), patience).toBe(false);

      const next = await service.another();
      expect((await downloadBytes(next.images, image!.id)).bytes.equals(bytes)).toBe(true);
      expect(await next.process.kill('SIGINT')).toBe(0);
    },
  );
});

describe('a service that cannot start says why, in words and by its exit code', () => {
  test('another program has the port', async () => {
    await using dataDir = await makeDataDir();
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    onTestFinished(() => void server.close());
    const service = await startService();
    const { exit, output } = await failureToStart({
      dataDir: dataDir.path,
      databaseUrl: service.databaseUrl,
      env: { DARKROOM_PORT: String(port), DARKROOM_DATA_DIR: service.dataDir },
    });
    expect(exit).toBe(1);
    expect(output).toContain(
      `cannot listen on 127.0.0.1 port ${port}: another process has the port`,
    );
  });

  test('settings are wrong, and each is named with what it was and what is allowed', async () => {
    const { exit, output } = await failureToStart({
      dataDir: '/nonexistent',
      env: {
        DARKROOM_PORT: '65536',
        DARKROOM_LOG_LEVEL: 'loud',
        DARKROOM_COMMIT_BYTES: '-1',
        DARKROOM_PRT: '1',
        DATABASE_URL: 'mysql://user:secret@host/db',
      },
    });
    expect(exit).toBe(2);
    expect(output.split('\n').toSorted()).toEqual([
      '',
      'DARKROOM_COMMIT_BYTES must be a whole number from 65536 to 1073741824 (bytes), not "-1"',
      'DARKROOM_LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent, not "loud"',
      'DARKROOM_PORT must be a whole number from 0 to 65535, not "65536"',
      'DARKROOM_PRT is not a setting of Darkroom: look for it in docs/settings.md',
      'DATABASE_URL must be a URL such as postgresql://user:password@host:5432/database, not what it is',
    ]);
  });

  test('the data folder cannot be made', async () => {
    const { exit, output } = await failureToStart({ dataDir: '/etc/passwd/data' });
    expect(exit).toBe(1);
    expect(output).toContain('/etc/passwd/data');
  });
});

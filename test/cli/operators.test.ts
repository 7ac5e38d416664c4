import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { readyText, terminalLine } from '../../src/processes/terminal-log.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { runProgram } from '../support/programs.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { createTestDatabase } from '../support/test-database.ts';
import { makeDataDir, repository } from '../support/service-process.ts';
import { darkroomInTerminal } from './in-terminal.ts';
import { runCli, type CliResult } from './run-cli.ts';

let service: RunningService;
let folder: string;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({}, cleanUps.defer);
  return cleanUps.run;
});

beforeEach(async () => {
  const made = await makeDataDir();
  folder = made.path;
  return made.remove;
});

interface Found {
  readonly what: string;
  readonly standing: string;
  readonly found: string;
  readonly remedy?: string;
}

async function doctor(
  environment: Record<string, string>,
): Promise<CliResult & { of: (what: string) => Found[] }> {
  const result = await runCli(['doctor', '--json'], {
    environment: { HOME: folder, ...environment },
  });
  const findings = JSON.parse(result.output) as Found[];
  // Whatever is not well has its remedy.
  for (const { standing, remedy } of findings) {
    expect(remedy === undefined).toBe(standing === 'well');
  }
  return { ...result, of: (what) => findings.filter((one) => one.what === what) };
}

describe('the doctor', () => {
  test('finds a service that runs, its database, its folder and its port well', async () => {
    const { exitCode, of } = await doctor({
      DARKROOM_ENDPOINT: service.process.url,
      DARKROOM_PORT: new URL(service.process.url).port,
      DARKROOM_DATA_DIR: service.dataDir,
      DATABASE_URL: service.databaseUrl,
    });
    const standings = (what: string): string[] => of(what).map(({ standing }) => standing);
    expect(standings('service')).toEqual(['well']);
    expect(of('database')[0]!.found).toMatch(/^PostgreSQL \d+/);
    expect(standings('database')).not.toContain('broken');
    expect(of('port')).toMatchObject([
      { standing: 'well', found: expect.stringContaining("Darkroom's") },
    ]);
    expect(of('clock')).toMatchObject([{ standing: 'well' }]);
    expect(standings('storage')).not.toContain('broken');
    expect(of('free space')[0]!.found).toMatch(/ free, \d+ % of the disk$/);
    expect(exitCode).toBe(0);
    // What it has written to try the disk is gone.
    expect(readdirSync(service.dataDir).filter((name) => name.includes('doctor'))).toEqual([]);
  });

  test('says what is broken, each with its remedy, and never a password', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    writeFileSync(join(folder, 'a-file'), '');
    const { exitCode, output, of } = await doctor({
      DARKROOM_ENDPOINT: 'http://127.0.0.1:1',
      DARKROOM_PORT: String(port),
      DARKROOM_DATA_DIR: join(folder, 'a-file'),
      DARKROOM_TOKENS_FILE: join(folder, 'no-tokens'),
      DATABASE_URL: 'postgresql://u:secret-word@127.0.0.1:1/darkroom',
    });
    server.close();
    expect(exitCode).toBe(1);
    expect(of('service')).toMatchObject([
      { standing: 'broken', remedy: expect.stringContaining('npm start') },
    ]);
    expect(of('database')).toMatchObject([
      { standing: 'broken', found: expect.stringContaining('ECONNREFUSED') },
    ]);
    expect(of('port')).toMatchObject([
      { standing: 'broken', found: expect.stringContaining('another program') },
    ]);
    expect(of('settings').map(({ found }) => found)).toContainEqual(
      expect.stringContaining('DARKROOM_TOKENS_FILE'),
    );
    expect(output).not.toContain('secret-word');
  });

  test('names wrong settings, and asks no database by them', async () => {
    const { exitCode, of } = await doctor({
      DARKROOM_ENDPOINT: service.process.url,
      DARKROOM_PROT: '1',
      DARKROOM_LOG_LEVEL: 'loud',
    });
    expect(exitCode).toBe(1);
    expect(of('settings').map(({ found }) => found)).toEqual([
      expect.stringContaining('DARKROOM_PROT'),
      expect.stringContaining('DARKROOM_LOG_LEVEL'),
    ]);
    expect(of('database')).toEqual([]);
  });

  test('looks on this machine only where the service is here', async () => {
    const { of } = await doctor({ DARKROOM_ENDPOINT: 'http://images.invalid' });
    expect(of('service')[0]!.standing).toBe('broken');
    expect(of('storage')).toEqual([]);
  });
});

describe('completion', () => {
  const complete = async (...words: string[]): Promise<string[]> => {
    const environment = { HOME: folder, DARKROOM_ENDPOINT: service.process.url };
    const { output } = await runCli(['complete', '--', ...words], { environment });
    return output
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t')[0]!);
  };

  test('knows commands, their options, choices and names of images', async () => {
    await service.images.createImage({
      image: { name: 'completed', diskFormat: 1 },
      source: { case: 'upload', value: {} },
    });
    expect(await complete('ima')).toEqual(['images', 'image']);
    expect(await complete('token', '')).toEqual(['create', 'list', 'revoke']);
    expect(await complete('images', '--so')).toEqual(['--sort']);
    expect(await complete('images', '--sort', 'n')).toEqual(['newest', 'name']);
    expect(await complete('image', 'comp')).toEqual(['completed']);
    expect(await complete('completion', '')).toEqual(['bash', 'zsh', 'fish']);
    expect(await complete('upload', '')).toEqual([]);
  });

  test('says nothing where the service is away', async () => {
    const environment = { HOME: folder, DARKROOM_ENDPOINT: 'http://127.0.0.1:1' };
    const result = await runCli(['complete', '--', 'image', ''], { environment });
    expect(result).toEqual({ exitCode: 0, output: '', errors: '' });
  });

  test('works in bash as it stands', async () => {
    const { output: script } = await runCli(['completion', 'bash'], {
      environment: { HOME: folder },
    });
    const file = join(folder, 'completion.bash');
    writeFileSync(
      file,
      `darkroom() { ${process.execPath} src/cli/darkroom.mjs "$@"; }\n${script}
COMP_WORDS=(darkroom prof); COMP_CWORD=1; _darkroom; echo "\${COMPREPLY[@]}"
COMP_WORDS=(darkroom profile u); COMP_CWORD=2; _darkroom; echo "\${COMPREPLY[@]}"\n`,
    );
    const { code, output, errors } = await runProgram('bash', [
      '-c',
      `cd ${repository} && bash ${file}`,
    ]);
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    expect(output).toBe('profile\nuse');
  });
});

describe.runIf(existsSync('/usr/bin/python3'))('a service that is started in a terminal', () => {
  test('tells where it is and a first command, in lines for people, and ends by Ctrl-C', async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const terminal = darkroomInTerminal(
      ['serve', '--port', '0', '--data-dir', join(folder, 'data')],
      {
        columns: 160,
        environment: {
          HOME: folder,
          DATABASE_URL: database.url,
          DARKROOM_PROCESSES: '1',
          DARKROOM_DATA_DIR: '/nowhere',
        },
      },
    );
    await expect.poll(() => terminal.screen()).toContain('Darkroom is ready.');
    const screen = terminal.screen();
    expect(screen).not.toContain('{"level"');
    const [, url] = /address +(http:\/\/\S+)/.exec(screen)!;
    expect(screen).toContain(
      `data       ${join(folder, 'data')}, and the PostgreSQL of DATABASE_URL`,
    );
    expect(screen).toContain(`npx darkroom upload disk.qcow2 --endpoint ${url}`);
    const { exitCode } = await runCli(['images'], {
      environment: { HOME: folder, DARKROOM_ENDPOINT: url! },
    });
    expect(exitCode).toBe(0);
    terminal.type('\u0003');
    expect(await terminal.exited).toBe(0);
    expect(terminal.screen()).toMatch(/^\d\d:\d\d:\d\d {2}stopped$/m);
  });
});

describe('lines for people', () => {
  const line = (fields: object): string =>
    JSON.stringify({ level: 30, time: Date.now(), ...fields });

  test.each([
    [line({ msg: 'stopped' }), /^\d\d:\d\d:\d\d {2}stopped\n$/],
    [
      line({
        msg: 'call',
        method: 'darkroom.v1.ImageService/DeleteImage',
        code: 'OK',
        durationMs: 12.4,
        peer: '127.0.0.1:1',
        requestId: 'r',
      }),
      /^\S+ {2}DeleteImage {2}OK 12 ms peer=127\.0\.0\.1:1\n$/,
    ],
    [
      line({ level: 40, msg: 'a process was lost', reason: 'x' }),
      /^\S+ {2}warning: a process was lost {2}reason=x\n$/,
    ],
    ['not JSON\n', /^not JSON\n$/],
  ])('are made of %s', (json, text) => {
    expect(terminalLine(json, false)).toMatch(text);
  });

  test('tell how to get a token where callers need one', () => {
    const ready = {
      url: 'http://127.0.0.1:8080',
      dataDir: '/d',
      database: 'embedded',
      processes: 2,
      isUsualPlace: true,
    } as const;
    expect(readyText({ ...ready, isOpen: false })).toContain('darkroom token create');
    expect(readyText({ ...ready, isOpen: true })).not.toContain('token');
    expect(readyText({ ...ready, isOpen: true })).toMatch(
      /processes {2}2[\s\S]*upload disk\.qcow2\n/,
    );
  });
});

test('the command that is built starts under any Node from 20 on, and reads no code of the service to do so', () => {
  const built = join(repository, 'dist/cli/darkroom.js');
  // A checkout need not be built; what is packed is.
  if (!existsSync(built)) {
    execFileSync(process.execPath, ['build/main.ts'], { cwd: repository });
  }
  const system = ['/usr/local/bin/node', '/usr/bin/node'].filter((path) => existsSync(path));
  for (const node of [process.execPath, ...system]) {
    const output = execFileSync(node, [built, 'images', '--help'], { encoding: 'utf8' });
    expect(output).toContain('Usage: darkroom images');
  }
});

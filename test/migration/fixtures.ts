import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeAll, onTestFinished, vi, expect } from 'vitest';
import { createToken } from '../../src/identity/static-tokens/token-store.ts';
import type { ReportEntry } from '../../src/migration/migration-report.ts';
import { restClient, type RestClient } from '../server/rest/rest-client.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startGlance, type Glance } from '../support/glance.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir, repository } from '../support/service-process.ts';

/** Both services, and who copies from one to the other. */
export interface Clouds {
  readonly glance: Glance;
  readonly service: RunningService;
  /** Asks Glance as somebody. @param token `project.role`. */
  readonly ofGlance: (token?: string) => RestClient;
  /** Asks Darkroom as the one who copies, for a project. */
  readonly ofDarkroom: (project: string) => RestClient;
  /** A file with the token of a service, which may act for any project. */
  readonly tokenFile: string;
  readonly token: string;
  /** Makes a token of a member of one project, which Darkroom takes already. */
  readonly memberToken: (project: string) => Promise<string>;
  readonly folder: string;
}

/** Starts both once for a file of tests. */
export function clouds(settings: Readonly<Record<string, string>> = {}): () => Clouds {
  vi.setConfig({ hookTimeout: 120_000, testTimeout: 120_000 });
  let started: Clouds | undefined;
  beforeAll(async () => {
    const cleanUps = new CleanUps();
    const folder = await makeDataDir();
    cleanUps.defer(folder.remove);
    const tokens = join(folder.path, 'tokens.json');
    const terms = { description: undefined, lifetimeMs: undefined };
    const { token } = createToken(tokens, {
      user: 'mover',
      project: undefined,
      roles: ['service'],
      ...terms,
    });
    const glance = await startGlance(cleanUps.defer);
    const service = await startService(
      { DARKROOM_TOKENS_FILE: tokens, DARKROOM_PUBLIC_IMAGES_BY: 'members', ...settings },
      cleanUps.defer,
    );
    started = {
      glance,
      service,
      folder: folder.path,
      token,
      tokenFile: join(folder.path, 'token'),
      async memberToken(project) {
        const made = createToken(tokens, { user: 'ann', project, roles: ['member'], ...terms });
        const ask = restClient(() => service.process.url, made.token);
        await expect.poll(async () => (await ask('GET', '/v2/images')).status).toBe(200);
        return made.token;
      },
      ofGlance: (as = 'admin.admin') => restClient(() => glance.url, as),
      ofDarkroom: (project) => (method, path, body, headers) =>
        restClient(() => service.process.url, token)(method, path, body, {
          ...headers,
          'x-darkroom-project': project,
        }),
    };
    return cleanUps.run;
  });
  return () => {
    if (started === undefined) {
      throw new Error('it is not started yet');
    }
    return started;
  };
}

/** Makes an image in Glance, with its bytes if there are any. @returns its id. */
export async function makeInGlance(
  { glance, ofGlance }: Pick<Clouds, 'glance' | 'ofGlance'>,
  fields: object,
  bytes?: Uint8Array,
  owner = 'garden',
): Promise<string> {
  const ask = ofGlance(`${owner}.admin`);
  const made = await ask('POST', '/v2/images', {
    disk_format: 'raw',
    container_format: 'bare',
    ...fields,
  });
  if (made.status !== 201) {
    throw new Error(`Glance answers ${made.status}: ${JSON.stringify(made.body)}`);
  }
  const id = String(made.body?.['id']);
  if (bytes !== undefined) {
    const { status } = await fetch(`${glance.url}/v2/images/${id}/file`, {
      method: 'PUT',
      headers: { 'content-type': 'application/octet-stream', 'x-auth-token': `${owner}.admin` },
      body: Uint8Array.from(bytes),
    });
    if (status !== 204) {
      throw new Error(`Glance answers ${status} to the bytes`);
    }
  }
  return id;
}

/** A run of the command. */
export interface MigrationRun {
  readonly child: ChildProcess;
  readonly ended: Promise<{
    readonly code: number | null;
    readonly output: string;
    readonly errors: string;
  }>;
}

/** Starts the command as an operator would, who is an admin in Glance. */
export function startMigration(
  { glance, service, token }: Pick<Clouds, 'glance' | 'service' | 'token'>,
  args: readonly string[],
  from: string = glance.url,
): MigrationRun {
  return runMigration(['--from', from, '--to', service.process.url, ...args], {
    OS_AUTH_TOKEN: 'admin.admin',
    DARKROOM_TOKEN: token,
  });
}

/** Starts the command; it ends with the test. */
export function runMigration(
  args: readonly string[],
  environment: Readonly<Record<string, string>>,
): MigrationRun {
  const child = spawn(process.execPath, ['src/cli/darkroom.mjs', 'migrate-from-glance', ...args], {
    cwd: repository,
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = once(child, 'close') as Promise<[number | null]>;
  const ended = Promise.all([closed, text(child.stdout), text(child.stderr)]).then(
    ([[code], output, errors]) => ({ code, output, errors }),
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, ended };
}

/** What a report tells of an image. */
export async function reported(path: string, id: string): Promise<ReportEntry | undefined> {
  const { images } = JSON.parse(await readFile(path, 'utf8')) as { images: ReportEntry[] };
  return images.find((entry) => entry.id === id);
}

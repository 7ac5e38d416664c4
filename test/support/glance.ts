import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasProgram } from './disk-images.ts';
import { findFreePort } from './free-port.ts';
import { runProgram } from './programs.ts';
import { makeDataDir } from './service-process.ts';

/** OpenStack's own image service, as Debian has it, where everybody is who the token says: `project.role.role`. */
export interface Glance {
  readonly url: string;
}

/** Whether it is installed; says aloud if it is not. */
export const hasGlance = (): boolean => hasProgram('glance-api', 'glance-api');

/** Starts one on a database and folders of its own. Takes some seconds. */
export async function startGlance(defer: (cleanUp: () => Promise<void>) => void): Promise<Glance> {
  const folder = await makeDataDir();
  defer(folder.remove);
  const port = await findFreePort();
  const config = await configure(folder.path, port);
  const synced = await runProgram('glance-manage', ['--config-file', config, 'db', 'sync']);
  if (synced.code !== 0) {
    throw new Error(`glance-manage db sync ended with ${synced.code}: ${synced.errors}`);
  }
  const server = spawn('glance-api', ['--config-file', config], { stdio: 'ignore' });
  const ended = once(server, 'exit');
  defer(async () => {
    server.kill('SIGKILL');
    await ended;
  });
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthcheck`).catch(() => undefined);
    if (answer?.ok === true) {
      break;
    }
    if (server.exitCode !== null) {
      throw new Error(`glance-api ended with ${server.exitCode}`);
    }
    await sleep(100);
  }
  const proxy = createServer((incoming, answer) => passOn(incoming, answer, port));
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  defer(async () => {
    proxy.closeAllConnections();
    proxy.close();
    await once(proxy, 'close');
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` };
}

/** With the headers that Keystone's middleware would set. */
function passOn(incoming: IncomingMessage, answer: ServerResponse, port: number): void {
  const [project = '', ...roles] = String(incoming.headers['x-auth-token'] ?? '').split('.');
  const outgoing = request(
    {
      port,
      host: '127.0.0.1',
      method: incoming.method,
      path: incoming.url,
      headers: {
        ...incoming.headers,
        'x-identity-status': 'Confirmed',
        'x-user-id': 'default',
        'x-project-id': project,
        'x-roles': roles.join(','),
      },
    },
    (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    },
  );
  outgoing.on('error', () => answer.destroy());
  incoming.pipe(outgoing);
}

async function configure(folder: string, port: number): Promise<string> {
  const paste = await readFile('/etc/glance/glance-api-paste.ini', 'utf8');
  const trusting = [
    '[pipeline:glance-api-trusted-auth]',
    'pipeline = healthcheck versionnegotiation context rootapp',
  ];
  await writeFile(join(folder, 'paste.ini'), `${trusting.join('\n')}\n\n${paste}`);
  for (const name of ['images', 'staging', 'work', 'lock']) {
    await mkdir(join(folder, name));
  }
  const path = join(folder, 'glance.conf');
  await writeFile(
    path,
    `
[DEFAULT]
bind_host = 127.0.0.1
bind_port = ${port}
workers = 0
enabled_backends = file:file
enabled_import_methods = [glance-direct,web-download,copy-image]
node_staging_uri = file://${folder}/staging
worker_self_reference_url = http://127.0.0.1:${port}
transport_url = fake://
[oslo_concurrency]
lock_path = ${folder}/lock
[database]
connection = sqlite:///${folder}/glance.sqlite
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = ${folder}/images
[os_glance_staging_store]
filesystem_store_datadir = ${folder}/staging
[os_glance_tasks_store]
filesystem_store_datadir = ${folder}/work
[paste_deploy]
flavor = trusted-auth
config_file = ${folder}/paste.ini
[oslo_messaging_notifications]
driver = noop
`,
  );
  return path;
}

import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, rename, writeFile } from 'node:fs/promises';
import * as http2 from 'node:http2';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import * as tls from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  canMakeCertificates,
  Certificates,
  tlsEnv,
  type Identity,
} from '../support/certificates.ts';
import { childrenOf } from '../support/processes.ts';
import { startService, type RunningService } from '../support/running-service.ts';

/** Each call of a load: in all 50 a second. */
const intervalMs = 20;
const patience = { timeout: 30_000 };

describe.skipIf(!canMakeCertificates)('files of TLS that change under a running service', () => {
  /** A service of two processes whose files a test may change. */
  async function start(processes = '2') {
    const certificates = await Certificates.open();
    onTestFinished(certificates.remove);
    const authority = await certificates.authority('authority');
    const identities = [
      await certificates.server(authority),
      await certificates.server(authority),
      await certificates.server(authority),
    ] as const;
    const files = {
      certFile: join(certificates.folder, 'in-use.pem'),
      keyFile: join(certificates.folder, 'in-use.key'),
    };
    await copyFile(identities[0].certFile, files.certFile);
    await copyFile(identities[0].keyFile, files.keyFile);
    const service = await startService({
      ...tlsEnv({ ...identities[0], ...files }),
      DARKROOM_PROCESSES: processes,
    });
    return { service, authority, identities, files };
  }

  function session({ process }: RunningService, authority: Identity): http2.ClientHttp2Session {
    const client = http2.connect(process.url, { ca: authority.cert, servername: 'localhost' });
    onTestFinished(() => client.destroy());
    return client;
  }

  /** A call whose answer is whole. @throws Error for any other */
  async function call(client: http2.ClientHttp2Session): Promise<void> {
    const stream = client.request({ ':path': '/v2/tasks' });
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    const body = await text(stream);
    if (String(headers[':status']) !== '200') {
      throw new Error(body);
    }
  }

  /** What a new connection is shown. */
  async function shown({ process }: RunningService, authority: Identity): Promise<string> {
    const { hostname: host, port } = new URL(process.url);
    const socket = tls.connect({
      host,
      port: Number(port),
      ca: authority.cert,
      servername: 'localhost',
    });
    await once(socket, 'secureConnect');
    const fingerprint = socket.getPeerX509Certificate()?.fingerprint256 ?? '';
    socket.destroy();
    return fingerprint;
  }

  const fingerprintOf = ({ cert }: Identity): string => new X509Certificate(cert).fingerprint256;

  async function untilShown(service: RunningService, authority: Identity, identity: Identity) {
    // By turns of both processes.
    await expect
      .poll(
        async () =>
          new Set([
            await shown(service, authority),
            await shown(service, authority),
            await shown(service, authority),
            await shown(service, authority),
          ]),
        patience,
      )
      .toEqual(new Set([fingerprintOf(identity)]));
  }

  test.each(['1', '2'])(
    'cost no call, on connections that there are and on new ones, of %s processes',
    async (processes) => {
      const { service, authority, identities, files } = await start(processes);
      const [first, second, third] = identities;
      await untilShown(service, authority, first);
      const lasting = [session(service, authority), session(service, authority)];
      const stopping = new AbortController();
      const calls: Promise<void>[] = [];
      const load = (async () => {
        while (!stopping.signal.aborted) {
          const kept = lasting[calls.length % 4];
          if (kept) {
            calls.push(call(kept));
          } else {
            const client = http2.connect(service.process.url, {
              ca: authority.cert,
              servername: 'localhost',
            });
            calls.push(call(client).finally(() => client.close()));
          }
          await sleep(intervalMs);
        }
      })();

      const untilCalled = async (): Promise<void> => {
        const before = calls.length;
        await expect.poll(() => calls.length, patience).toBeGreaterThan(before + 20);
      };
      // In place; by renames; broken; and mended.
      await untilCalled();
      await writeFile(files.certFile, second.cert);
      await writeFile(files.keyFile, second.key);
      await untilShown(service, authority, second);
      await untilCalled();
      await writeFile(`${files.certFile}.new`, third.cert);
      await writeFile(`${files.keyFile}.new`, third.key);
      await rename(`${files.keyFile}.new`, files.keyFile);
      await rename(`${files.certFile}.new`, files.certFile);
      await untilShown(service, authority, third);
      await untilCalled();
      await writeFile(files.certFile, first.cert.slice(0, 300));
      const told = await service.process.line(
        ({ msg }) => msg?.startsWith('the changed files of TLS are not taken') === true,
      );
      expect(told).toMatchObject({
        level: 50,
        msg: expect.stringContaining('is cut off within a certificate: write it whole') as unknown,
        inUse: { fingerprint256: fingerprintOf(third) },
      });
      await untilShown(service, authority, third);
      await writeFile(files.certFile, first.cert);
      await writeFile(files.keyFile, first.key);
      await untilShown(service, authority, first);
      await untilCalled();

      stopping.abort();
      await load;
      const outcomes = await Promise.allSettled(calls);
      expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
      expect(outcomes.length).toBeGreaterThan(80);
      expect(lasting.map(({ closed, destroyed }) => closed || destroyed)).toEqual([false, false]);
      // One process reads the files, and tells of them.
      const taken = service.process.log.filter(({ msg }) =>
        msg?.startsWith('TLS: new connections'),
      );
      expect(taken.map(({ fingerprint256 }) => fingerprint256)).toEqual(
        [second, third, first].map(fingerprintOf),
      );
    },
  );

  test('and are broken when a process is started again, which has what the others have', async () => {
    const { service, authority, identities, files } = await start();
    await writeFile(files.certFile, identities[1].cert);
    await writeFile(files.keyFile, identities[1].key);
    await untilShown(service, authority, identities[1]);
    await writeFile(files.keyFile, 'nonsense');
    await service.process.line(
      ({ msg }) => msg?.startsWith('the changed files of TLS are not taken') === true,
    );
    const [victim] = await childrenOf(service.process.pid);
    process.kill(victim!, 'SIGKILL');
    await service.process.line(({ msg }) => msg?.startsWith('a process serves in place') === true);
    await untilShown(service, authority, identities[1]);
  });
});

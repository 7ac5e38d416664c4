import { rename, writeFile } from 'node:fs/promises';
import * as http2 from 'node:http2';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import {
  canMakeCertificates,
  Certificates,
  tlsEnv,
  type Identity,
} from '../support/certificates.ts';
import { failureOf } from '../support/failures.ts';
import { patience } from '../support/held-upload.ts';
import { startService } from '../support/running-service.ts';
import { failureToStart, makeDataDir } from '../support/service-process.ts';

describe.skipIf(!canMakeCertificates)('a certificate that its authority takes back', () => {
  async function start(processes: string) {
    const certificates = await Certificates.open();
    onTestFinished(certificates.remove);
    const authority = await certificates.authority('authority');
    const server = await certificates.server(authority);
    const crlFile = join(certificates.folder, 'in-use.crl');
    const publish = async (list: string): Promise<void> => {
      await writeFile(`${crlFile}.next`, list);
      await rename(`${crlFile}.next`, crlFile);
    };
    await publish(await certificates.revocationList(authority));
    const env = {
      ...tlsEnv(server, { clientCa: authority, clientCrlFile: crlFile }),
      DARKROOM_PROCESSES: processes,
    };
    const { process } = await startService(env);
    /** A connection on which calls are made, by one whole answer each. */
    const connect = (who: Identity) => {
      const session = http2.connect(process.url, {
        ca: authority.cert,
        cert: who.cert,
        key: who.key,
        servername: 'localhost',
      });
      session.on('error', () => {});
      onTestFinished(() => session.destroy());
      return {
        session,
        async call(): Promise<{ status: number; body: string }> {
          const stream = session.request({ ':path': '/v2/tasks' });
          // A connection whose certificate was taken back just now ends without an answer, and without an error.
          const ended = once(stream, 'close').then(() => Promise.reject(new Error('it ended')));
          const [headers] = (await Promise.race([once(stream, 'response'), ended])) as [
            http2.IncomingHttpHeaders,
          ];
          return { status: Number(headers[':status']), body: await text(stream) };
        },
      };
    };
    return { certificates, authority, process, env, publish, connect };
  }

  test.each(['1', '2'])(
    'is refused from then on, and its connections end; others do not notice, of %s processes',
    async (processes) => {
      const { certificates, authority, process, publish, connect } = await start(processes);
      const alice = await certificates.issue(authority, 'alice');
      const bob = await certificates.issue(authority, 'bob');
      // Some on each process.
      const ofAlice = Array.from({ length: 4 }, () => connect(alice));
      const ofBob = Array.from({ length: 4 }, () => connect(bob));
      for (const one of [...ofAlice, ...ofBob]) {
        expect((await one.call()).status).toBe(200);
      }
      // A watch lasts, and asks for nothing any more.
      const nodeOptions = { ca: authority.cert, cert: alice.cert, key: alice.key };
      const transport = createGrpcTransport({
        baseUrl: process.url.replace('127.0.0.1', 'localhost'),
        nodeOptions,
      });
      const watching = failureOf(
        (async () => {
          for await (const _ of createClient(TaskService, transport).watchTasks({})) {
            // To its end.
          }
        })(),
      );

      await publish(await certificates.revocationList(authority, [alice]));
      await expect
        .poll(() => ofAlice.filter(({ session }) => !session.destroyed).length, patience)
        .toBe(0);
      expect(['Unavailable', 'Canceled', 'Aborted', 'Internal', 'Unknown']).toContain(
        (await watching).code,
      );
      const again = await connect(alice).call();
      expect(again.status).toBe(403);
      expect(JSON.stringify(again.body)).toMatch(/CN=alice.* was taken back by its authority/);
      const call = createClient(ImageService, transport).listImages({});
      expect(await failureOf(call)).toMatchObject({
        code: 'PermissionDenied',
        reason: 'CLIENT_CERTIFICATE_REFUSED',
      });
      for (const one of ofBob) {
        expect((await one.call()).status).toBe(200);
      }
      expect((await connect(bob).call()).status).toBe(200);

      // A list that is out of date changes nothing, and takes nobody back in.
      await publish(await certificates.revocationList(authority, [], -1));
      await process.line(
        ({ msg }) => msg?.startsWith('the changed files of TLS are not taken') === true,
      );
      expect((await connect(alice).call()).status).toBe(403);
      expect((await connect(bob).call()).status).toBe(200);
    },
  );

  test('is refused where an authority between has taken it back, or has no list', async () => {
    const { certificates, authority, publish, connect } = await start('1');
    const between = await certificates.authority('between', authority);
    const carol = await certificates.issue(between, 'carol');
    const shown = { ...carol, cert: carol.cert + between.cert };
    const ofRoot = await certificates.revocationList(authority);
    const refusal = async (): Promise<string> => {
      const { status, body } = await connect(shown).call();
      return `${status} ${body}`;
    };
    expect(await refusal()).toMatch(/^403 .*has no list of the authority that made it/);
    await publish(ofRoot + (await certificates.revocationList(between)));
    await expect.poll(refusal, patience).toMatch(/^200 /);
    await publish(ofRoot + (await certificates.revocationList(between, [carol])));
    await expect.poll(refusal, patience).toMatch(/^403 .*was taken back/);
    // And where the authority itself was.
    const list = await certificates.revocationList(authority, [between]);
    await publish(list + (await certificates.revocationList(between)));
    await expect.poll(refusal, patience).toMatch(/^403 .*(?:was taken back|cannot be looked up)/);
  });

  test('cannot go unnoticed: without a list that is good there is no start', async () => {
    const { certificates, authority, env, publish } = await start('1');
    for (const [list, message] of [
      [await certificates.revocationList(authority, [], -1), 'fetch the present one'],
      ['nothing', 'has no revocation list in PEM form'],
    ] as const) {
      await publish(list);
      await using dataDir = await makeDataDir();
      const { exit, output } = await failureToStart({
        dataDir: dataDir.path,
        databaseUrl: 'postgresql://nobody@127.0.0.1:1/none',
        env,
      });
      expect([exit, output]).toEqual([2, expect.stringContaining(message)]);
    }
    const without = Object.fromEntries(
      Object.entries(env).filter(([name]) => name !== 'DARKROOM_TLS_CLIENT_CA_FILE'),
    );
    await using dataDir = await makeDataDir();
    const { exit, output } = await failureToStart({ dataDir: dataDir.path, env: without });
    expect([exit, output]).toEqual([
      2,
      expect.stringContaining('set DARKROOM_TLS_CLIENT_CA_FILE, too'),
    ]);
  });
});

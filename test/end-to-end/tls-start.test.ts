import { describe, expect, onTestFinished, test } from 'vitest';
import { canMakeCertificates, Certificates, openssl, tlsEnv } from '../support/certificates.ts';
import { startService } from '../support/running-service.ts';
import { failureToStart, makeDataDir } from '../support/service-process.ts';

/** Never reached: what is refused is refused before. */
const databaseUrl = 'postgresql://nobody@127.0.0.1:1/none';

async function refusalOf(env: Readonly<Record<string, string>>) {
  await using dataDir = await makeDataDir();
  return failureToStart({ dataDir: dataDir.path, databaseUrl, env });
}

describe('a service without TLS', () => {
  test.each(['0.0.0.0', '::', '192.0.2.1', 'images.example.com'])(
    'is not opened beyond loopback, on %s, unless that is said',
    async (host) => {
      const { exit, output } = await refusalOf({
        DARKROOM_HOST: host,
        DARKROOM_ALLOW_ANONYMOUS: 'everywhere',
      });
      expect(exit).toBe(2);
      expect(output).toContain(
        `DARKROOM_HOST is "${host}", beyond loopback, and there is no TLS: whoever is on the network could read and alter ` +
          'images and credentials. Set DARKROOM_TLS_CERT_FILE and DARKROOM_TLS_KEY_FILE; or, where something before the ' +
          'service speaks TLS or the network is trusted, DARKROOM_PLAINTEXT=allowed-on-any-network',
      );
    },
  );

  test('is opened there when it is', async () => {
    const { process } = await startService({
      DARKROOM_HOST: '0.0.0.0',
      DARKROOM_ALLOW_ANONYMOUS: 'everywhere',
      DARKROOM_PLAINTEXT: 'allowed-on-any-network',
    });
    const { port } = new URL(process.url);
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
  });
});

describe.skipIf(!canMakeCertificates)('a service with TLS', () => {
  async function open() {
    const certificates = await Certificates.open();
    onTestFinished(certificates.remove);
    const authority = await certificates.authority('authority');
    return { certificates, authority, server: await certificates.server(authority) };
  }

  test.each(['1', '2'])(
    'does not start with files that are of no use, of %s processes',
    async (processes) => {
      const { certificates, authority, server } = await open();
      const another = await certificates.server(authority);
      const env = { ...tlsEnv(server), DARKROOM_PROCESSES: processes };
      const mixed = await refusalOf({ ...env, DARKROOM_TLS_KEY_FILE: another.keyFile });
      expect([mixed.exit, mixed.output]).toEqual([
        2,
        expect.stringContaining('give the two that were made together'),
      ]);
      const missing = await refusalOf({ ...env, DARKROOM_TLS_CERT_FILE: `${server.certFile}.old` });
      expect([missing.exit, missing.output]).toEqual([
        2,
        expect.stringContaining('does not exist'),
      ]);
      openssl(
        'pkey',
        '-in',
        server.keyFile,
        '-aes256',
        '-passout',
        'pass:x',
        '-out',
        another.keyFile,
      );
      const encrypted = await refusalOf({ ...env, DARKROOM_TLS_KEY_FILE: another.keyFile });
      expect([encrypted.exit, encrypted.output]).toEqual([
        2,
        expect.stringContaining('is encrypted'),
      ]);
    },
  );

  test('is opened beyond loopback, and says so by https', async () => {
    const { server } = await open();
    const { process } = await startService({
      ...tlsEnv(server),
      DARKROOM_HOST: '0.0.0.0',
      DARKROOM_ALLOW_ANONYMOUS: 'everywhere',
    });
    expect(process.url).toMatch(/^https:\/\/0\.0\.0\.0:\d+$/);
  });
});

import { X509Certificate } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { CertificateExpiry } from '../../src/tls/certificate-expiry.ts';
import type { TlsPaths } from '../../src/tls/read-tls-files.ts';
import { TlsFiles } from '../../src/tls/tls-files.ts';
import { TlsFilesError } from '../../src/tls/tls-material.ts';
import {
  canMakeCertificates,
  Certificates,
  openssl,
  type Identity,
} from '../support/certificates.ts';
import { CleanUps } from '../support/clean-ups.ts';

/** On however busy a machine. */
const patience = { timeout: 30_000 };

interface Line {
  readonly level: 'info' | 'warn' | 'error';
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

function collectingLogger() {
  const lines: Line[] = [];
  const level = (name: Line['level']) => (fields: object, message: string) =>
    void lines.push({ level: name, fields: fields as Line['fields'], message });
  return { lines, info: level('info'), warn: level('warn'), error: level('error') };
}

describe.skipIf(!canMakeCertificates)('files of TLS', () => {
  let certificates: Certificates;
  let authority: Identity;
  let first: Identity;
  let second: Identity;
  let count = 0;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    certificates = await Certificates.open();
    cleanUps.defer(certificates.remove);
    authority = await certificates.authority('authority');
    first = await certificates.server(authority);
    second = await certificates.server(authority);
    return cleanUps.run;
  });

  /** Files of a test's own. */
  async function place(
    cert: string,
    key: string,
    clientCa?: string,
  ): Promise<TlsPaths & { folder: string }> {
    const folder = join(certificates.folder, `place-${(count += 1)}`);
    await mkdir(folder);
    const file = (name: string): string => join(folder, name);
    await writeFile(file('cert'), cert);
    await writeFile(file('key'), key, { mode: 0o600 });
    if (clientCa !== undefined) {
      await writeFile(file('ca'), clientCa);
    }
    return {
      folder,
      certFile: file('cert'),
      keyFile: file('key'),
      clientCaFile: clientCa === undefined ? undefined : file('ca'),
      clientCrlFile: undefined,
    };
  }

  async function open(paths: TlsPaths) {
    const logger = collectingLogger();
    const files = await TlsFiles.open({ paths, intervalMs: 20, logger });
    onTestFinished(() => files.close());
    const taken: string[] = [];
    files.onChange(({ certificate }) => taken.push(certificate));
    return { files, taken, lines: logger.lines };
  }

  async function refusalOf(paths: TlsPaths): Promise<string> {
    const logger = collectingLogger();
    const opening = TlsFiles.open({ paths, intervalMs: 20, logger });
    await expect(opening).rejects.toThrow(TlsFilesError);
    return opening.then(
      () => '',
      (error: Error) => error.message,
    );
  }

  const errors = (lines: readonly Line[]): string[] =>
    lines.filter(({ level }) => level === 'error').map(({ message }) => message);

  describe('are refused at the start, with what to do,', () => {
    test.each([
      [
        'that are not there',
        /DARKROOM_TLS_CERT_FILE \(.*nowhere\) does not exist: give/,
        (p) => ({ ...p, certFile: join(p.folder, 'nowhere') }),
      ],
      [
        'that are folders',
        /DARKROOM_TLS_KEY_FILE \(.*\) is not a file: give/,
        (p) => ({ ...p, keyFile: p.folder }),
      ],
      [
        'whose authorities are missing',
        /DARKROOM_TLS_CLIENT_CA_FILE \(.*\) does not exist/,
        (p) => ({ ...p, clientCaFile: join(p.folder, 'nowhere') }),
      ],
      [
        'that are swapped',
        /has a private key in it and no certificate.*swapped/,
        (p) => ({ ...p, certFile: p.keyFile, keyFile: p.certFile }),
      ],
      [
        'whose key file has the certificate',
        /has a certificate in it and no private key.*swapped/,
        (p) => ({ ...p, keyFile: p.certFile }),
      ],
    ] satisfies [string, RegExp, (paths: TlsPaths & { folder: string }) => TlsPaths][])(
      'those %s',
      async (_, message, change) => {
        expect(await refusalOf(change(await place(first.cert, first.key)))).toMatch(message);
      },
    );

    test('those whose contents are of no use', async () => {
      const encrypted = openssl('pkey', '-in', first.keyFile, '-aes256', '-passout', 'pass:secret');
      const expired = await certificates.server(authority, { days: -1 });
      const forClients = await certificates.server(authority, {
        extensions: ['extendedKeyUsage=clientAuth'],
      });
      const short = await certificates.server(authority, { key: 'rsa:1024' });
      const cases: [cert: string, key: string, message: RegExp, ca?: string][] = [
        [
          first.cert,
          second.key,
          /key of DARKROOM_TLS_KEY_FILE \(.*\) is not the one of the certificate/,
        ],
        [
          authority.cert + first.cert,
          first.key,
          /that of certificate 2 of .*put the certificate of the service first/,
        ],
        [first.cert, encrypted, /is encrypted.*decrypt it with openssl pkey/],
        [expired.cert, expired.key, /has expired on .*Z: renew it/],
        [forClients.cert, forClients.key, /is not for servers.*serverAuth/],
        [short.cert, short.key, /TLS cannot be spoken with .*key too small/],
        ['', first.key, /DARKROOM_TLS_CERT_FILE \(.*\) is empty/],
        [first.cert, '', /DARKROOM_TLS_KEY_FILE \(.*\) is empty/],
        ['DER', first.key, /no certificate in PEM form/],
        [first.cert, 'DER', /no private key in PEM form/],
        [first.cert.slice(0, -60), first.key, /is cut off within a certificate/],
        [first.cert.replace(/\n.{20}/, '\n'), first.key, /certificate 1 of .* is damaged/],
        [first.cert, first.key.slice(0, -60), /private key of .* is cut off or damaged/],
        [first.cert, first.key, /DARKROOM_TLS_CLIENT_CA_FILE \(.*\) is empty/, ''],
      ];
      for (const [cert, key, message, ca] of cases) {
        const told = await refusalOf(await place(cert, key, ca));
        expect(told).toMatch(message);
        // Never a part of the key.
        expect(told).not.toContain(first.key.split('\n')[1]);
      }
    });
  });

  test('are taken in each form in which people have them', async () => {
    const rsa = await certificates.server(authority, { key: 'rsa:2048' });
    const parameters = openssl('ecparam', '-name', 'prime256v1');
    const described = openssl('x509', '-in', first.certFile, '-text');
    const cases: [what: string, cert: string, key: string][] = [
      ['lines of Windows', first.cert.replaceAll('\n', '\r\n'), first.key.replaceAll('\n', '\r\n')],
      ['a description before it', described, first.key],
      ['parameters before the key', first.cert, parameters + openssl('ec', '-in', first.keyFile)],
      ['PKCS #1', rsa.cert, openssl('rsa', '-in', rsa.keyFile, '-traditional')],
      ['both in one', first.cert + first.key, first.cert + first.key],
      ['a chain', first.cert + authority.cert, first.key],
    ];
    for (const [what, cert, key] of cases) {
      const { files } = await open(await place(cert, key, authority.cert));
      expect(files.material.key, what).toBe(key);
    }
  });

  test('that everybody may read are warned of, and those of a group not', async () => {
    const paths = await place(first.cert, first.key);
    chmodSync(paths.keyFile, 0o640);
    expect((await open(paths)).lines.map(({ level }) => level)).toEqual(['info']);
    chmodSync(paths.keyFile, 0o644);
    expect((await open(paths)).lines).toContainEqual({
      level: 'warn',
      fields: { file: paths.keyFile },
      message:
        'every user of this machine may read the private key: chmod o-r the file of DARKROOM_TLS_KEY_FILE',
    });
  });

  test('that are written in place are taken anew, and told with subject and end', async () => {
    const paths = await place(first.cert, first.key);
    const { files, taken, lines } = await open(paths);
    await writeFile(paths.certFile, second.cert);
    await writeFile(paths.keyFile, second.key);
    await expect.poll(() => taken, patience).toEqual([second.cert]);
    expect(files.material).toMatchObject({ certificate: second.cert, key: second.key });
    expect(lines.at(-1)).toMatchObject({
      level: 'info',
      fields: {
        subject: 'CN=server',
        expires: new X509Certificate(second.cert).validToDate.toISOString(),
      },
      message: 'TLS: new connections get this certificate from now on',
    });
  });

  test('that are replaced by renames, or by a link that turns as in Kubernetes, are taken anew', async () => {
    const paths = await place(first.cert, first.key);
    const renamed = await open(paths);
    await writeFile(`${paths.certFile}.new`, second.cert);
    await writeFile(`${paths.keyFile}.new`, second.key);
    await rename(`${paths.certFile}.new`, paths.certFile);
    await rename(`${paths.keyFile}.new`, paths.keyFile);
    await expect.poll(() => renamed.taken, patience).toEqual([second.cert]);

    const [one, two] = [await place(first.cert, first.key), await place(second.cert, second.key)];
    const link = join(certificates.folder, `..data-${(count += 1)}`);
    await symlink(one.folder, link);
    const linked = await open({ ...one, certFile: join(link, 'cert'), keyFile: join(link, 'key') });
    await symlink(two.folder, `${link}.new`);
    await rename(`${link}.new`, link);
    await expect.poll(() => linked.taken, patience).toEqual([second.cert]);
    expect(errors(linked.lines)).toEqual([]);
  });

  test('that are broken meanwhile are not taken, which is told once, and then taken when they are whole', async () => {
    const paths = await place(first.cert, first.key);
    const { files, taken, lines } = await open(paths);
    await writeFile(paths.certFile, second.cert);
    await expect.poll(() => errors(lines), patience).toHaveLength(1);
    expect(errors(lines)[0]).toMatch(
      /^the changed files of TLS are not taken, and the certificate in use stays: the key of .* is not the one of/,
    );
    await rm(paths.keyFile);
    await expect.poll(() => errors(lines), patience).toHaveLength(2);
    expect(errors(lines)[1]).toMatch(/DARKROOM_TLS_KEY_FILE \(.*\) does not exist/);
    expect(files.material.certificate).toBe(first.cert);
    expect(taken).toEqual([]);

    await writeFile(paths.keyFile, second.key);
    await expect.poll(() => taken, patience).toEqual([second.cert]);
    // And back to what is in use, after something broken.
    await writeFile(paths.certFile, 'nonsense');
    await expect.poll(() => errors(lines), patience).toHaveLength(3);
    await writeFile(paths.certFile, second.cert);
    await expect
      .poll(() => lines.at(-1)?.message, patience)
      .toBe('the files of TLS are again those that are in use');
    expect(taken).toEqual([second.cert]);
  });

  test('with one that has expired do not take the place of a good one', async () => {
    const expired = await certificates.server(authority, { days: -1 });
    const paths = await place(first.cert, first.key);
    const { taken, lines } = await open(paths);
    await writeFile(paths.certFile, expired.cert);
    await writeFile(paths.keyFile, expired.key);
    await expect
      .poll(() => errors(lines), patience)
      .toEqual([expect.stringMatching(/has expired on .*: renew it/)]);
    expect(taken).toEqual([]);
  });

  describe('with a certificate that ends', () => {
    const hour = 3600 * 1000;

    function tellingOf(
      leaf: string,
      authorities: readonly string[],
      times: readonly number[],
    ): Line[] {
      const logger = collectingLogger();
      const expiry = new CertificateExpiry(logger);
      const facts = {
        leaf: new X509Certificate(leaf),
        authorities: authorities.map((one) => new X509Certificate(one)),
        revocationLists: [],
      };
      times.forEach((time) => expiry.look(facts, time));
      return logger.lines;
    }

    test('soon are told of once a day, and then that it has', () => {
      const end = new X509Certificate(first.cert).validToDate.getTime();
      const hours = (from: number, to: number) =>
        Array.from({ length: to - from }, (_, i) => end + (from + i) * hour);
      expect(tellingOf(first.cert, [], hours(-24 * 80, -24 * 14))).toEqual([]);
      const told = tellingOf(first.cert, [], hours(-24 * 14, 48));
      expect(told.map(({ level }) => level)).toEqual([
        ...Array(14).fill('warn'),
        ...Array(2).fill('error'),
      ]);
      expect(told[0]?.message).toBe(
        'the certificate of the service expires soon: replace it in its file; it is taken without a restart',
      );
    });

    test('are not told of from the beginning where they live for days only', async () => {
      const days = await certificates.server(authority, { days: 6 });
      const end = new X509Certificate(days.cert).validToDate.getTime();
      expect(tellingOf(days.cert, [], [end - 3 * 24 * hour])).toEqual([]);
      expect(tellingOf(days.cert, [], [end - 2 * 24 * hour])).toHaveLength(1);
    });

    test('are told of authorities for clients, too', () => {
      const end = new X509Certificate(authority.cert).validToDate.getTime();
      const told = tellingOf(authority.cert, [authority.cert], [end - hour]);
      // One and the same certificate is told of once.
      expect(told).toHaveLength(1);
      expect(
        tellingOf(first.cert, [authority.cert], [end - hour]).map(({ message }) => message),
      ).toContain(
        'an authority for certificates of clients expires soon: replace it in its file; it is taken without a restart',
      );
    });
  });
});

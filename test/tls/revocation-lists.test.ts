import { X509Certificate } from 'node:crypto';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { CertificateExpiry } from '../../src/tls/certificate-expiry.ts';
import { isRevoked, revocationListsIn } from '../../src/tls/revocation-lists.ts';
import { TlsFiles } from '../../src/tls/tls-files.ts';
import {
  canMakeCertificates,
  Certificates,
  openssl,
  type Identity,
} from '../support/certificates.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { patience } from '../support/held-upload.ts';

const hour = 3600_000;

describe.skipIf(!canMakeCertificates)('revocation lists', () => {
  let certificates: Certificates;
  let authority: Identity;
  let between: Identity;
  let server: Identity;
  let alice: Identity;
  let bob: Identity;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    certificates = await Certificates.open();
    cleanUps.defer(certificates.remove);
    authority = await certificates.authority('authority');
    between = await certificates.authority('between', authority);
    server = await certificates.server(authority);
    alice = await certificates.issue(authority, 'alice');
    bob = await certificates.issue(authority, 'bob');
    return cleanUps.run;
  });

  /** Opens files of which the lists are these; answers what went on, too. */
  async function open(lists: string) {
    const crlFile = join(certificates.folder, `${Math.random()}.crl`);
    await writeFile(crlFile, lists);
    const lines: string[] = [];
    const log = (_: object, message: string): void => void lines.push(message);
    const files = await TlsFiles.open({
      paths: {
        certFile: server.certFile,
        keyFile: server.keyFile,
        clientCaFile: authority.certFile,
        clientCrlFile: crlFile,
      },
      intervalMs: 20,
      logger: { info: log, warn: log, error: log },
    });
    onTestFinished(() => files.close());
    const replace = async (text: string): Promise<void> => {
      await writeFile(`${crlFile}.next`, text);
      await rename(`${crlFile}.next`, crlFile);
    };
    return { files, lines, replace };
  }

  test('tell whom their authority has taken back, and nobody of another one', async () => {
    const stranger = await certificates.authority('stranger');
    const [list] = revocationListsIn(await certificates.revocationList(authority, [alice]), 'x');
    const [other] = revocationListsIn(await certificates.revocationList(stranger, [bob]), 'x');
    const none = revocationListsIn(await certificates.revocationList(authority), 'x');
    expect(list?.serials.size).toBe(1);
    expect(list!.nextUpdate.getTime() - Date.now()).toBeGreaterThan(23 * hour);
    const of = ({ cert }: Identity): X509Certificate => new X509Certificate(cert);
    expect(isRevoked(of(alice), [list!])).toBe(true);
    expect(isRevoked(of(bob), [list!, other!])).toBe(false);
    expect(isRevoked(of(alice), none)).toBe(false);
  });

  test('of many certificates are read in one go', async () => {
    const serials = await Promise.all([alice, bob, server].map((one) => Promise.resolve(one)));
    const [list] = revocationListsIn(await certificates.revocationList(authority, serials), 'x');
    expect(list?.serials).toEqual(
      new Set(serials.map(({ cert }) => BigInt(`0x${new X509Certificate(cert).serialNumber}`))),
    );
  });

  test('are refused at the start where they are of no use, with what to do', async () => {
    const good = await certificates.revocationList(authority);
    const der = openssl('crl', '-in', await fileWith(good), '-text', '-noout');
    for (const [lists, message] of [
      ['', /has no revocation list in PEM form/],
      [der, /has no revocation list in PEM form/],
      [authority.cert, /has no revocation list in PEM form/],
      [good.slice(0, 200), /cut off within a list/],
      [
        good.replace(/\n[A-Za-z0-9+/]{20}/, '\nAAAAAAAAAAAAAAAAAAAA'),
        /damaged|TLS cannot be spoken/,
      ],
      [await certificates.revocationList(between), /no list of the authority "CN=authority"/],
      [await certificates.revocationList(authority, [], -1), /was to be replaced by .*: fetch/],
    ] as const) {
      await expect(open(lists)).rejects.toThrow(message);
    }
  });

  test('that change are taken, and those of no use are not', async () => {
    const first = await certificates.revocationList(authority);
    const { files, lines, replace } = await open(first);
    expect(files.material.clientCrl).toBe(first);
    await replace(await certificates.revocationList(authority, [], -1));
    await expect
      .poll(() => lines.filter((line) => line.includes('was to be replaced by')), patience)
      .toHaveLength(1);
    expect(files.material.clientCrl).toBe(first);
    const second = await certificates.revocationList(authority, [alice]);
    await replace(second);
    await expect.poll(() => files.material.clientCrl, patience).toBe(second);
  });

  test('that end are told of before, and as an error afterwards', async () => {
    const lines: string[] = [];
    const log = (level: string) => (_: object, message: string) =>
      void lines.push(`${level}: ${message}`);
    const expiry = new CertificateExpiry({ warn: log('warn'), error: log('error') });
    const lists = revocationListsIn(await certificates.revocationList(authority), 'x');
    const end = lists[0]!.nextUpdate.getTime();
    // It is valid for 72 hours.
    const facts = {
      leaf: new X509Certificate(server.cert),
      authorities: [],
      revocationLists: lists,
    };
    expiry.look(facts, end - 25 * hour);
    expect(lines).toEqual([]);
    expiry.look(facts, end - 23 * hour);
    expiry.look(facts, end - 22 * hour);
    expiry.look(facts, end + 2 * hour);
    expect(lines).toEqual([
      expect.stringMatching(/^warn: .* has to be replaced soon/),
      expect.stringMatching(/^error: .* all clients of its authority are refused: fetch/),
    ]);
  });

  async function fileWith(text: string): Promise<string> {
    const path = join(certificates.folder, `${Math.random()}.pem`);
    await writeFile(path, text);
    return path;
  }
});

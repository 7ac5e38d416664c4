import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { CertificateIdentities } from '../../../src/identity/certificates/certificate-identities.ts';
import { WatchedFileError } from '../../../src/runtime/watched-file.ts';
import { makeDataDir } from '../../support/service-process.ts';

const nova = { name: 'URI:spiffe://test/nova', user: 'nova', roles: ['service'] };
const build = { name: 'DNS:Build.Test', user: 'build', project: 'garden', roles: ['member'] };
const soon = Date.now() + 3600_000;

let file: string;
let warnings: string[];

beforeEach(async () => {
  const folder = await makeDataDir();
  file = join(folder.path, 'certificates.json');
  warnings = [];
  return folder.remove;
});

/** In one step, as a reader sees the one or the other. */
async function write(...identities: object[]): Promise<void> {
  await writeFile(`${file}.next`, JSON.stringify({ version: 1, identities }));
  await rename(`${file}.next`, file);
}

function open(): CertificateIdentities {
  const provider = new CertificateIdentities(file, (message) => warnings.push(message));
  onTestFinished(() => provider.close());
  return provider;
}

test('who has a certificate is known by the first of its names that is mapped', async () => {
  await write(nova, build);
  const provider = open();
  const names = ['DNS:elsewhere.test', 'DNS:build.test', 'URI:spiffe://test/nova'];
  const identity = provider.identify({ names, expiresAtMs: soon });
  expect(identity.userId).toBe('build');
  expect(identity.projectId).toBe('garden');
  expect(identity.roles).toEqual(['member']);
  expect(identity.expiresAtMs).toBe(soon);
});

test.each([
  [['DNS:spiffe://test/nova']],
  [['URI:spiffe://test/nova/']],
  [['URI:spiffe://test/NOVA']],
  [['DNS:a.build.test']],
  [['email:build.test']],
  [[]],
])('other names, such as %j, are nobody', async (names) => {
  await write(nova, build);
  const provider = open();
  expect(() => provider.identify({ names, expiresAtMs: soon })).toThrow(/is known here/);
});

test('a certificate that has expired meanwhile is told apart', async () => {
  await write(nova);
  const names = [nova.name];
  const provider = open();
  expect(() => provider.identify({ names, expiresAtMs: Date.now() })).toThrow(/has expired/);
});

test('who is taken out of the file, or changed in it, is known no more', async () => {
  await write(nova, build);
  const provider = open();
  const first = provider.identify({ names: [nova.name], expiresAtMs: soon });
  const second = provider.identify({ names: [build.name], expiresAtMs: soon });
  await write(nova, { ...build, roles: ['reader'] });
  await expect.poll(() => second.isRevoked).toBe(true);
  expect(first.isRevoked).toBe(false);
  await write();
  await expect.poll(() => first.isRevoked).toBe(true);
  expect(warnings).toEqual([]);
});

test.each([
  [{ ...nova, name: 'spiffe://test/nova' }],
  [{ ...nova, roles: ['root'] }],
  [{ ...nova, project: 'a b' }],
  [{ ...nova, more: 1 }],
])('%j makes no sense', async (identity) => {
  await write(identity);
  expect(open).toThrow(WatchedFileError);
});

test('a name stands for one', async () => {
  await write(build, { ...build, name: 'DNS:build.test' });
  expect(open).toThrow(/a name twice/);
});

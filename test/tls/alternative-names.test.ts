import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { alternativeNames } from '../../src/tls/alternative-names.ts';
import { canMakeCertificates, Certificates, openssl } from '../support/certificates.ts';

const none = { dns: [], uris: [], emails: [], ips: [] };

describe.skipIf(!canMakeCertificates)('the names in a certificate', () => {
  test('are told by their kinds, and those of other kinds left out', async () => {
    const certificates = await Certificates.open();
    onTestFinished(certificates.remove);
    const { cert } = await certificates.issue(await certificates.authority('ca'), 'a', {
      names:
        'DNS:a.example,DNS:*.b.example,URI:spiffe://darkroom/a,email:a@example.com,IP:10.0.0.1,IP:2001:db8::1,RID:1.2.3.4',
    });
    expect(alternativeNames(new X509Certificate(cert).subjectAltName)).toEqual({
      dns: ['a.example', '*.b.example'],
      uris: ['spiffe://darkroom/a'],
      emails: ['a@example.com'],
      ips: ['10.0.0.1', '2001:db8::1'],
    });
  });

  test('that hold what looks like another name stay one name', async () => {
    const certificates = await Certificates.open();
    onTestFinished(certificates.remove);
    const config = join(certificates.folder, 'names.cnf');
    const names = [
      'spiffe://a, DNS:admin.example',
      'spiffe://b", URI:spiffe://admin',
      'spiffe://c\\',
    ];
    const quotedForConfig = names.map((name) =>
      name.replaceAll('\\', '\\\\').replaceAll('"', '\\"'),
    );
    writeFileSync(
      config,
      '[req]\ndistinguished_name=dn\n[dn]\n[ext]\nsubjectAltName=@names\n[names]\n' +
        quotedForConfig.map((name, i) => `URI.${i}=${name}`).join('\n'),
    );
    const key = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      join(certificates.folder, 'k'),
    ];
    const cert = openssl(
      'req',
      '-x509',
      ...key,
      '-subj',
      '/CN=x',
      '-config',
      config,
      '-extensions',
      'ext',
    );
    const { dns, uris } = alternativeNames(new X509Certificate(cert).subjectAltName);
    expect(dns).toEqual([]);
    expect(uris).toEqual(names);
  });
});

test('a text that is not of the form tells no name at all', () => {
  for (const text of [
    'DNS:a, nonsense',
    'DNS:"a',
    'DNS:"\\x"',
    'DNS:a,URI:b',
    ', DNS:a',
    'DNS:a"b',
  ]) {
    expect(alternativeNames(text), text).toEqual(none);
  }
  expect(alternativeNames(undefined)).toEqual(none);
  expect(alternativeNames('')).toEqual(none);
});

test('what is quoted is taken as it was, whatever it was', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1 }), { minLength: 1 }), (values) => {
      const text = values.map((value) => `URI:${JSON.stringify(value)}`).join(', ');
      expect(alternativeNames(text)).toEqual({ ...none, uris: values });
    }),
  );
});

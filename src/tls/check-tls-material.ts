import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { quoted } from '../domain/quoted.ts';
import { alternativeNames } from './alternative-names.ts';
import { settingOfFile, type TlsPaths } from './read-tls-files.ts';
import { revocationListsIn, subjectOf, type RevocationList } from './revocation-lists.ts';
import { TlsFilesError, type TlsMaterial } from './tls-material.ts';

/** Purposes of certificates (RFC 5280, section 4.2.1.12). */
const serverAuth = '1.3.6.1.5.5.7.3.1';
const anyPurpose = '2.5.29.37.0';

/** What is in good material. */
export interface TlsFacts {
  /** The certificate of the service. */
  readonly leaf: X509Certificate;
  readonly authorities: readonly X509Certificate[];
  readonly revocationLists: readonly RevocationList[];
}

/**
 * Holds material against all that would keep clients from coming.
 *
 * @param paths where it is from, for messages.
 * @param now ms since 1970
 * @throws TlsFilesError that says what is wrong and what to do.
 */
export function checkTlsMaterial(material: TlsMaterial, paths: TlsPaths, now: number): TlsFacts {
  const name = (which: keyof TlsPaths): string => `${settingOfFile[which]} (${paths[which]})`;
  const chain = certificatesIn(material.certificate, name('certFile'));
  const key = privateKeyIn(material.key, name('keyFile'));
  const { clientCa, clientCrl } = material;
  const authorities = clientCa === undefined ? [] : certificatesIn(clientCa, name('clientCaFile'));
  const revocationLists =
    clientCrl === undefined ? [] : revocationListsIn(clientCrl, name('clientCrlFile'));
  const [leaf] = chain;
  assertMatch(chain, key, name);
  assertValidNow(leaf, name('certFile'), now);
  if (clientCrl !== undefined) {
    assertLists(revocationLists, authorities, name('clientCrlFile'), now);
  }
  const purposes = leaf.keyUsage as string[] | undefined;
  if (purposes !== undefined && !purposes.some((one) => one === serverAuth || one === anyPurpose)) {
    throw new TlsFilesError(
      `the certificate of ${name('certFile')} is not for servers: have one made with the extended key usage serverAuth`,
    );
  }
  try {
    createSecureContext({
      cert: material.certificate,
      key: material.key,
      ca: clientCa,
      crl: revocationLists.map(({ pem }) => pem),
    });
  } catch (error) {
    // Such as a key that is too short. The text of OpenSSL names it, and nothing of the key.
    const why = error instanceof Error ? error.message : String(error);
    throw new TlsFilesError(
      `TLS cannot be spoken with ${name('certFile')} and ${name('keyFile')}: ${why}; have another certificate made`,
      { cause: error },
    );
  }
  return { leaf, authorities, revocationLists };
}

/** What people know a certificate by: for the log. */
export function describeCertificate(certificate: X509Certificate): object {
  const { dns, ips } = alternativeNames(certificate.subjectAltName);
  return {
    subject: certificate.subject.replaceAll('\n', ', '),
    names: [...dns, ...ips],
    issuer: certificate.issuer.replaceAll('\n', ', '),
    expires: certificate.validToDate.toISOString(),
    fingerprint256: certificate.fingerprint256,
  };
}

function certificatesIn(pem: string, name: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  const begun = pem.match(/-----BEGIN CERTIFICATE-----/g) ?? [];
  if (blocks.length < begun.length) {
    throw new TlsFilesError(`${name} is cut off within a certificate: write it whole`);
  }
  const certificates = blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new TlsFilesError(`certificate ${i + 1} of ${name} is damaged: write it anew`, {
        cause,
      });
    }
  });
  const [first, ...others] = certificates;
  if (first !== undefined) {
    return [first, ...others];
  }
  throw new TlsFilesError(
    pem.includes('PRIVATE KEY-----')
      ? `${name} has a private key in it and no certificate: give the file of the certificate; are the two swapped?`
      : pem.trim() === ''
        ? `${name} is empty: write the certificate into it, in PEM form`
        : `${name} has no certificate in PEM form (-----BEGIN CERTIFICATE-----) in it: if it is DER, ` +
          'convert it: openssl x509 -inform der',
  );
}

function privateKeyIn(pem: string, name: string): KeyObject {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED/.test(pem)) {
    throw new TlsFilesError(
      `the key of ${name} is encrypted, and nobody is there to give the password: decrypt it with openssl pkey, and let ` +
        'only the user of this process read it',
    );
  }
  if (!pem.includes('PRIVATE KEY-----')) {
    throw new TlsFilesError(
      pem.includes('-----BEGIN CERTIFICATE-----')
        ? `${name} has a certificate in it and no private key: give the file of the key; are the two swapped?`
        : pem.trim() === ''
          ? `${name} is empty: write the private key into it, in PEM form`
          : `${name} has no private key in PEM form (-----BEGIN PRIVATE KEY-----) in it: if it is DER, ` +
            'convert it: openssl pkey -inform der',
    );
  }
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw new TlsFilesError(`the private key of ${name} is cut off or damaged: write it whole`, {
      cause,
    });
  }
}

function assertMatch(
  [leaf, ...others]: readonly [X509Certificate, ...X509Certificate[]],
  key: KeyObject,
  name: (which: keyof TlsPaths) => string,
): void {
  if (leaf.checkPrivateKey(key)) {
    return;
  }
  const at = others.findIndex((one) => one.checkPrivateKey(key));
  throw new TlsFilesError(
    at === -1
      ? `the key of ${name('keyFile')} is not the one of the certificate of ${name('certFile')}: give the two that were ` +
          'made together'
      : `the key of ${name('keyFile')} is that of certificate ${at + 2} of ${name('certFile')}, not of the first: put the ` +
          'certificate of the service first, and after it those between it and the root',
  );
}

/** OpenSSL refuses every client of an authority of which there is no list that is valid now. */
function assertLists(
  lists: readonly RevocationList[],
  authorities: readonly X509Certificate[],
  name: string,
  now: number,
): void {
  for (const authority of authorities) {
    const of = subjectOf(authority);
    const known = lists.filter(({ issuer }) => issuer === of);
    const subject = quoted(authority.subject.replaceAll('\n', ', '));
    if (known.length === 0) {
      throw new TlsFilesError(
        `${name} has no list of the authority ${subject}, so that all its clients would be refused: add it`,
      );
    }
    const latest = Math.max(...known.map(({ nextUpdate }) => nextUpdate.getTime()));
    if (latest < now) {
      throw new TlsFilesError(
        `the list of the authority ${subject} in ${name} was to be replaced by ${new Date(latest).toISOString()}, so that ` +
          'all its clients would be refused: fetch the present one',
      );
    }
  }
}

function assertValidNow(leaf: X509Certificate, name: string, now: number): void {
  const subject = quoted(leaf.subject.replaceAll('\n', ', '));
  if (leaf.validToDate.getTime() < now) {
    throw new TlsFilesError(
      `the certificate ${subject} of ${name} has expired on ${leaf.validToDate.toISOString()}: renew it`,
    );
  }
  if (leaf.validFromDate.getTime() > now) {
    throw new TlsFilesError(
      `the certificate ${subject} of ${name} is valid from ${leaf.validFromDate.toISOString()} on only: have this machine's ` +
        'clock set, or give one that is valid now',
    );
  }
}

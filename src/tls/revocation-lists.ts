import type { X509Certificate } from 'node:crypto';
import { fromBER, Integer, Sequence, UTCTime, type AsnType } from 'asn1js';
import { TlsFilesError } from './tls-material.ts';

/** What an authority says of the certificates that it has taken back (RFC 5280, section 5). */
export interface RevocationList {
  /** As it is given to OpenSSL, which judges it. */
  readonly pem: string;
  /** The name of the authority, in DER as hexadecimal digits. */
  readonly issuer: string;
  readonly thisUpdate: Date;
  /** When the next list comes at the latest: from then on this one says nothing any more. */
  readonly nextUpdate: Date;
  /** The serial numbers that are taken back. */
  readonly serials: ReadonlySet<bigint>;
}

/**
 * Reads the lists in a file.
 *
 * @param name of the file, for messages.
 * @throws TlsFilesError that says what is wrong with which, and what to do.
 */
export function revocationListsIn(pem: string, name: string): readonly RevocationList[] {
  const blocks = revocationListBlocks(pem);
  const begun = pem.match(/-----BEGIN X509 CRL-----/g) ?? [];
  if (blocks.length < begun.length) {
    throw new TlsFilesError(`${name} is cut off within a list: write it whole`);
  }
  if (blocks.length === 0) {
    throw new TlsFilesError(
      `${name} has no revocation list in PEM form (-----BEGIN X509 CRL-----) in it: if it is DER, convert it: ` +
        'openssl crl -inform der',
    );
  }
  return blocks.map((block, i) => {
    const list = listOf(block);
    if (list === undefined) {
      throw new TlsFilesError(
        `list ${i + 1} of ${name} is damaged, or says not when the next one comes: have the authority write it anew`,
      );
    }
    return list;
  });
}

/** Each list of a file by itself, as Node wants them. */
export function revocationListBlocks(pem: string): string[] {
  return pem.match(/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g) ?? [];
}

/** Whether a certificate, or one of those above it as far as they were shown, is taken back by a list. */
export function isRevoked(certificate: X509Certificate, lists: readonly RevocationList[]): boolean {
  let above: X509Certificate | undefined = certificate;
  for (let depth = 0; above !== undefined && depth < mostAuthorities; depth += 1) {
    const { serial, issuer } = namesOf(above);
    if (lists.some((list) => list.issuer === issuer && list.serials.has(serial))) {
      return true;
    }
    above = above.issuerCertificate;
  }
  return false;
}

/** The subject of a certificate, as lists name their issuers. */
export function subjectOf(certificate: X509Certificate): string {
  return namesOf(certificate).subject;
}

/** Longer chains do not verify. */
const mostAuthorities = 100;

function listOf(pem: string): RevocationList | undefined {
  const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64');
  const { result } = fromBER(der);
  const [signed] = partsOf(result);
  const parts = partsOf(signed);
  const at = parts.findIndex((part) => part instanceof UTCTime);
  const [issuer, thisUpdate, nextUpdate, revoked] = parts.slice(at - 1);
  if (
    at < 2 ||
    !(issuer instanceof Sequence) ||
    !(thisUpdate instanceof UTCTime) ||
    !(nextUpdate instanceof UTCTime)
  ) {
    return undefined;
  }
  const serials = (revoked instanceof Sequence ? partsOf(revoked) : []).map(
    (entry) => partsOf(entry)[0],
  );
  return {
    pem,
    issuer: hexOf(issuer),
    thisUpdate: thisUpdate.toDate(),
    nextUpdate: nextUpdate.toDate(),
    serials: new Set(serials.flatMap((serial) => serialOf(serial) ?? [])),
  };
}

/** Of TBSCertificate (RFC 5280, section 4.1): what stands after the version, which may be missing. */
function namesOf({ raw }: X509Certificate): {
  readonly serial: bigint;
  readonly issuer: string;
  readonly subject: string;
} {
  const [signed] = partsOf(fromBER(raw).result);
  const parts = partsOf(signed);
  const at = parts.findIndex((part) => part instanceof Integer);
  const [serial, , issuer, , subject] = parts.slice(at);
  return {
    serial: serialOf(serial) ?? -1n,
    issuer: issuer === undefined ? '' : hexOf(issuer),
    subject: subject === undefined ? '' : hexOf(subject),
  };
}

function partsOf(block: unknown): readonly AsnType[] {
  return block instanceof Sequence ? block.valueBlock.value : [];
}

function serialOf(block: AsnType | undefined): bigint | undefined {
  return block instanceof Integer
    ? BigInt(`0x${Buffer.from(block.valueBlock.valueHexView).toString('hex')}`)
    : undefined;
}

function hexOf(block: AsnType): string {
  return Buffer.from(block.valueBeforeDecodeView).toString('hex');
}

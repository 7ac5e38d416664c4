import { X509Certificate } from 'node:crypto';
import { alternativeNames } from './alternative-names.ts';
import type { TlsMaterial, TlsSource } from './tls-material.ts';

/** The host names that the service's certificate is for at present; `*.` stands before one for those below it. */
export function certificateNames(source: TlsSource): () => readonly string[] {
  let names = namesIn(source.material);
  source.onChange((material) => (names = namesIn(material)));
  return () => names;
}

/** The first certificate of a chain is that of the service. */
function namesIn({ certificate }: TlsMaterial): readonly string[] {
  const { dns } = alternativeNames(new X509Certificate(certificate).subjectAltName);
  return dns.map((name) => name.toLowerCase());
}

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Stage } from './stage.ts';

/** Settings of a service that speaks TLS, with a certificate that is its own authority. */
export function tlsSettings(stage: Stage): Readonly<Record<string, string>> {
  const key = join(stage.folder, 'key.pem');
  const certificate = join(stage.folder, 'cert.pem');
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', key, '-out', certificate];
  execFileSync('openssl', ['req', '-x509', '-days', '2', ...kind, ...names, ...files], {
    stdio: 'pipe',
  });
  return { DARKROOM_TLS_CERT_FILE: certificate, DARKROOM_TLS_KEY_FILE: key };
}

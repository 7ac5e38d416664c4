import { readFileSync } from 'node:fs';
import { serviceLinksIn } from '../../config/service-links.ts';
import { readSettings, settingSpecs, SettingsError, type Settings } from '../../config/settings.ts';
import { checkTlsMaterial } from '../../tls/check-tls-material.ts';
import { readTlsFiles } from '../../tls/read-tls-files.ts';
import type { Environment } from '../environment.ts';
import { broken, doubtful, well, type Finding } from './finding.ts';

const dayMs = 86_400_000;
const warnedOfDays = 14;

/** The settings of a service that is started here, if they can be had, and what is to be said of them. */
export async function lookAtConfiguration(
  environment: Environment,
): Promise<{ readonly settings: Settings | undefined; readonly findings: readonly Finding[] }> {
  let settings: Settings;
  try {
    settings = readSettings(environment);
  } catch (error) {
    if (!(error instanceof SettingsError)) {
      throw error;
    }
    const findings = error.message
      .split('\n')
      .map((line) => broken('settings', line, 'Mend or unset the variable; the README lists all.'));
    return { settings: undefined, findings };
  }
  const set = Object.values(settingSpecs).filter(({ env }) => (environment[env] ?? '') !== '');
  const links = serviceLinksIn(environment);
  const findings = [
    well('settings', set.length === 0 ? 'all by default' : set.map(({ env }) => env).join(', ')),
    ...(links.length === 0
      ? []
      : [
          doubtful(
            'settings',
            `${links.join(', ')} are links to a Service of Kubernetes, and are ignored`,
            'Set what is meant in the pod itself, or enableServiceLinks: false.',
          ),
        ]),
    ...readableFiles(settings),
    ...(await lookAtTls(settings)),
  ];
  return { settings, findings };
}

function* readableFiles(settings: Settings): Generator<Finding> {
  const files = {
    DARKROOM_TOKENS_FILE: settings.tokensFile,
    DARKROOM_SECRETS_KEY_FILE: settings.secretsKeyFile,
    DARKROOM_CERTIFICATE_IDENTITIES_FILE: settings.certificatesFile,
    DARKROOM_JWT_JWKS_FILE: settings.jwksFile,
    DARKROOM_KEYSTONE_SECRET_FILE: settings.keystoneSecretFile,
  };
  for (const [name, path] of Object.entries(files)) {
    if (path !== undefined) {
      try {
        readFileSync(path);
      } catch (error) {
        yield broken(
          'settings',
          `${name}: ${(error as Error).message}`,
          'Give the path of a file that the user of the service may read.',
        );
      }
    }
  }
}

async function lookAtTls(settings: Settings): Promise<readonly Finding[]> {
  const { tlsCertFile, tlsKeyFile, tlsClientCaFile, tlsClientCrlFile } = settings;
  if (tlsCertFile === undefined || tlsKeyFile === undefined) {
    return [];
  }
  const paths = {
    certFile: tlsCertFile,
    keyFile: tlsKeyFile,
    clientCaFile: tlsClientCaFile,
    clientCrlFile: tlsClientCrlFile,
  };
  const now = Date.now();
  try {
    const { leaf } = checkTlsMaterial(await readTlsFiles(paths), paths, now);
    const days = Math.floor((leaf.validToDate.getTime() - now) / dayMs);
    return days < warnedOfDays
      ? [
          doubtful(
            'TLS',
            `the certificate expires in ${days} days`,
            'Renew it; its files are read again by themselves.',
          ),
        ]
      : [well('TLS', `the certificate holds for ${days} days`)];
  } catch (error) {
    return [broken('TLS', (error as Error).message, 'Without it the service does not start.')];
  }
}

import { z } from 'zod';
import { isLoopback } from '../domain/loopback.ts';
import { oneOf, setting, wholeNumber, type SettingSpec } from './setting-spec.ts';

/** The settings of the wire: TLS, and where it may be done without. Times are in ms. */
export const tlsSettingSpecs = {
  tlsCertFile: file(
    'DARKROOM_TLS_CERT_FILE',
    'Certificate of the service as PEM, and after it those between it and the root; with it the port speaks TLS.',
  ),
  tlsKeyFile: file(
    'DARKROOM_TLS_KEY_FILE',
    'Private key of that certificate as PEM, not encrypted.',
  ),
  tlsClientCaFile: file(
    'DARKROOM_TLS_CLIENT_CA_FILE',
    'Authorities as PEM by which certificates of clients are checked; without it clients are asked for none.',
  ),
  tlsClientCrlFile: file(
    'DARKROOM_TLS_CLIENT_CRL_FILE',
    'Revocation lists of those authorities as PEM, one of each, and of those between them and the clients; without it none is asked.',
  ),
  tlsClientAuth: setting<'required' | 'optional' | undefined>({
    env: 'DARKROOM_TLS_CLIENT_AUTH',
    schema: z.enum(['required', 'optional']).optional(),
    default: undefined,
    allowed: 'one of required, optional',
    description:
      'Whether a client may come without a certificate, where there is a client CA file; required if not set.',
  }),
  tlsHandshakesPerPeer: wholeNumber(
    'DARKROOM_TLS_HANDSHAKES_PER_PEER',
    200,
    [1, 1_000_000],
    'handshakes/s',
    'How many handshakes of one client address (of IPv6, one /64) are begun in a second; more wait for their turn.',
  ),
  tlsHandshakeShare: wholeNumber(
    'DARKROOM_TLS_HANDSHAKE_SHARE',
    25,
    [1, 100],
    'percent',
    'Largest part of the time of each process that handshakes of all addresses together may take; more wait for their turn.',
  ),
  tlsReloadIntervalMs: wholeNumber(
    'DARKROOM_TLS_RELOAD_INTERVAL_MS',
    5000,
    [50, 3_600_000],
    'ms',
    'How often the files of TLS are read to see whether they have changed.',
  ),
  plaintext: oneOf(
    'DARKROOM_PLAINTEXT',
    'loopback-only',
    ['loopback-only', 'allowed-on-any-network'],
    'Where the port may be opened without TLS.',
  ),
} as const;

/** What `wireProblems` looks at. */
interface WireSettings {
  readonly host: string;
  readonly tlsCertFile: string | undefined;
  readonly tlsKeyFile: string | undefined;
  readonly tlsClientCaFile: string | undefined;
  readonly tlsClientCrlFile: string | undefined;
  readonly tlsClientAuth: 'required' | 'optional' | undefined;
  readonly plaintext: 'loopback-only' | 'allowed-on-any-network';
}

/** What is wrong with settings of the wire that are each allowed by themselves: a sentence for each. */
export function wireProblems(settings: WireSettings): string[] {
  const {
    host,
    tlsCertFile,
    tlsKeyFile,
    tlsClientCaFile,
    tlsClientCrlFile,
    tlsClientAuth,
    plaintext,
  } = settings;
  const problems: string[] = [];
  if ((tlsCertFile === undefined) !== (tlsKeyFile === undefined)) {
    const [set, missing] =
      tlsKeyFile === undefined
        ? ['DARKROOM_TLS_CERT_FILE', 'DARKROOM_TLS_KEY_FILE']
        : ['DARKROOM_TLS_KEY_FILE', 'DARKROOM_TLS_CERT_FILE'];
    problems.push(`${missing} must be set where ${set} is: TLS needs both; set both or none`);
  } else if (tlsCertFile === undefined) {
    if (tlsClientCaFile !== undefined) {
      problems.push(
        'DARKROOM_TLS_CLIENT_CA_FILE needs DARKROOM_TLS_CERT_FILE and DARKROOM_TLS_KEY_FILE: only over TLS clients show ' +
          'certificates',
      );
    }
    if (plaintext === 'loopback-only' && !isLoopback(host)) {
      problems.push(
        `DARKROOM_HOST is ${JSON.stringify(host)}, beyond loopback, and there is no TLS: whoever is on the network could read ` +
          'and alter images and credentials. Set DARKROOM_TLS_CERT_FILE and DARKROOM_TLS_KEY_FILE; or, where something before ' +
          'the service speaks TLS or the network is trusted, DARKROOM_PLAINTEXT=allowed-on-any-network',
      );
    }
  }
  if (tlsClientAuth !== undefined && tlsClientCaFile === undefined) {
    problems.push(
      `DARKROOM_TLS_CLIENT_AUTH is ${tlsClientAuth}, but nothing says whose certificates are good: set ` +
        'DARKROOM_TLS_CLIENT_CA_FILE, too',
    );
  }
  if (tlsClientCrlFile !== undefined && tlsClientCaFile === undefined) {
    problems.push(
      'DARKROOM_TLS_CLIENT_CRL_FILE is set, but nothing says whose certificates are good: set DARKROOM_TLS_CLIENT_CA_FILE, too',
    );
  }
  return problems;
}

function file(env: string, description: string): SettingSpec<string | undefined> {
  return setting<string | undefined>({
    env,
    schema: z.string().trim().min(1).optional(),
    default: undefined,
    allowed: 'the path of a file',
    description,
  });
}

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes, X509Certificate } from 'node:crypto';
import type { TlsMaterial, TlsSource } from '../../src/tls/tls-material.ts';
import { hasProgram } from './disk-images.ts';

/** Whether certificates can be made; says aloud if not. */
export const canMakeCertificates = hasProgram('openssl', 'openssl');

/** A certificate and its key, in files. */
export interface Identity {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** How a certificate is to be. */
export interface Wish {
  /** As openssl writes them, such as `DNS:localhost,IP:127.0.0.1`. */
  readonly names?: string;
  /** Of its validity, from now on; below 0 it has expired. */
  readonly days?: number;
  /** More lines of the extensions. */
  readonly extensions?: readonly string[];
  /** `rsa:2048` or the like in place of P-256. */
  readonly key?: string;
}

/** Authorities and those whom they vouch for, made by openssl in a folder of their own. */
export class Certificates {
  readonly folder: string;
  #count = 0;

  static async open(): Promise<Certificates> {
    return new Certificates(await mkdtemp(join(tmpdir(), 'darkroom-tls-')));
  }

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** For deferring as it is. */
  readonly remove = (): Promise<void> => rm(this.folder, { recursive: true, force: true });

  /** Makes an authority, which another one may stand above. */
  async authority(name: string, above?: Identity): Promise<Identity> {
    return this.#make(name, above, {
      days: 3650,
      extensions: ['basicConstraints=critical,CA:true', 'keyUsage=keyCertSign,cRLSign'],
    });
  }

  /** Has an authority vouch for somebody. */
  issue(authority: Identity, name: string, wish: Wish = {}): Promise<Identity> {
    return this.#make(name, authority, wish);
  }

  /** One for localhost. */
  server(authority: Identity, wish: Wish = {}): Promise<Identity> {
    return this.issue(authority, 'server', { names: 'DNS:localhost,IP:127.0.0.1', ...wish });
  }

  /**
   * What an authority says of those whom it has taken back, as PEM.
   *
   * @param hours until the next list; below 0 it should have come already.
   */
  async revocationList(
    authority: Identity,
    revoked: readonly Identity[] = [],
    hours = 24,
  ): Promise<string> {
    const base = join(this.folder, `list-${(this.#count += 1)}`);
    const lines = revoked.map(({ cert }) => {
      const serial = new X509Certificate(cert).serialNumber;
      return `R\t${timeOf(24).slice(2)}\t${timeOf(-1).slice(2)}\t${serial}\tunknown\t/CN=revoked\n`;
    });
    await writeFile(`${base}.index`, lines.join(''));
    await writeFile(
      `${base}.cnf`,
      `[ca]\ndefault_ca=own\n[own]\ndatabase=${base}.index\ndefault_md=sha256\n`,
    );
    const signer = ['-cert', authority.certFile, '-keyfile', authority.keyFile];
    const times = ['-crl_lastupdate', timeOf(-48), '-crl_nextupdate', timeOf(hours)];
    openssl('ca', '-config', `${base}.cnf`, '-gencrl', ...signer, ...times, '-out', `${base}.pem`);
    return readFileSync(`${base}.pem`, 'utf8');
  }

  async #make(name: string, above: Identity | undefined, wish: Wish): Promise<Identity> {
    const base = join(this.folder, `${name}-${(this.#count += 1)}`);
    const certFile = `${base}.pem`;
    const keyFile = `${base}.key`;
    const lines = [
      'basicConstraints=critical,CA:false',
      ...(wish.names === undefined ? [] : [`subjectAltName=${wish.names}`]),
      ...(wish.extensions ?? []),
    ];
    // What is said again goes before.
    const extensions = [...new Map(lines.map((line) => [line.split('=', 1)[0], line])).values()];
    await writeFile(`${base}.ext`, extensions.join('\n'));
    const key = wish.key === undefined ? ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'] : [wish.key];
    openssl(
      'req',
      '-new',
      '-newkey',
      ...key,
      '-nodes',
      '-keyout',
      keyFile,
      '-out',
      `${base}.csr`,
      '-subj',
      `/CN=${name}`,
    );
    const signer = above ? ['-CA', above.certFile, '-CAkey', above.keyFile] : ['-key', keyFile];
    const form = ['-days', String(wish.days ?? 90), '-extfile', `${base}.ext`, '-out', certFile];
    openssl('x509', '-req', '-in', `${base}.csr`, ...signer, ...form);
    return {
      certFile,
      keyFile,
      cert: readFileSync(certFile, 'utf8'),
      key: readFileSync(keyFile, 'utf8'),
    };
  }
}

/** A time so many hours from now, as openssl writes it. */
function timeOf(hours: number): string {
  const iso = new Date(Date.now() + hours * 3600_000).toISOString();
  return iso.replace(/[-:T]|\.\d+/g, '');
}

/** Runs openssl to its end. @returns what it wrote */
export function openssl(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  if (status !== 0) {
    throw new Error(`openssl ${args.join(' ')}: ${stderr}`);
  }
  return stdout;
}

/** The settings with which a service has an identity. */
export function tlsEnv(
  server: Identity,
  more: {
    readonly clientCa?: Identity;
    readonly clientAuth?: string;
    readonly clientCrlFile?: string;
  } = {},
): Record<string, string> {
  return {
    DARKROOM_TLS_CERT_FILE: server.certFile,
    DARKROOM_TLS_KEY_FILE: server.keyFile,
    DARKROOM_TLS_RELOAD_INTERVAL_MS: '100',
    ...(more.clientCa && { DARKROOM_TLS_CLIENT_CA_FILE: more.clientCa.certFile }),
    ...(more.clientCrlFile !== undefined && { DARKROOM_TLS_CLIENT_CRL_FILE: more.clientCrlFile }),
    ...(more.clientAuth !== undefined && { DARKROOM_TLS_CLIENT_AUTH: more.clientAuth }),
  };
}

/** Material that a test changes when it likes. */
export class ChangingTls implements TlsSource {
  readonly ticketSecret: Buffer;
  readonly #listeners: ((material: TlsMaterial) => void)[] = [];
  material: TlsMaterial;

  constructor(server: Identity, clientCa?: Identity, ticketSecret: Buffer = randomBytes(32)) {
    this.material = materialOf(server, clientCa);
    this.ticketSecret = ticketSecret;
  }

  onChange(listener: (material: TlsMaterial) => void): void {
    this.#listeners.push(listener);
  }

  change(server: Identity, clientCa?: Identity, clientCrl?: string): void {
    this.material = materialOf(server, clientCa, clientCrl);
    this.#listeners.forEach((listener) => listener(this.material));
  }
}

function materialOf(server: Identity, clientCa?: Identity, clientCrl?: string): TlsMaterial {
  return { certificate: server.cert, key: server.key, clientCa: clientCa?.cert, clientCrl };
}

import { createHash, randomBytes } from 'node:crypto';
import { CertificateExpiry, type ExpiryLogger } from './certificate-expiry.ts';
import { checkTlsMaterial, describeCertificate, type TlsFacts } from './check-tls-material.ts';
import { isReadByAll, readTlsFiles, settingOfFile, type TlsPaths } from './read-tls-files.ts';
import { TlsFilesError, type TlsMaterial, type TlsSource } from './tls-material.ts';

/** Two looks that must find the same are at most so far apart, in ms. */
const longestSettleMs = 1000;

/** Where changes are told; pino fits. */
export interface TlsLogger extends ExpiryLogger {
  info(fields: object, message: string): void;
}

/** What the files are watched with. */
export interface TlsFilesOptions {
  readonly paths: TlsPaths;
  /** How often the files are read, in ms. */
  readonly intervalMs: number;
  readonly logger: TlsLogger;
}

/** What one look has found. */
type Found =
  | {
      readonly kind: 'good';
      readonly digest: string;
      readonly material: TlsMaterial;
      readonly facts: TlsFacts;
    }
  | { readonly kind: 'bad'; readonly digest: string; readonly error: TlsFilesError };

/**
 * The material of TLS in files, taken anew when they change. What is not good is told and left, and what there was goes on.
 *
 * The files are read again and again, and not watched by the kernel (inotify): that tells nothing of network file systems, and
 * with renames and links, by which Kubernetes and certbot replace files, it would have to watch each folder on the way. A few
 * KiB every few seconds cannot be missed, and cost nothing.
 *
 * Files are replaced one after the other and in pieces, so what was found counts when a second look has found the same.
 */
export class TlsFiles implements TlsSource {
  readonly ticketSecret = randomBytes(32);
  readonly #options: TlsFilesOptions;
  readonly #expiry: CertificateExpiry;
  readonly #listeners: ((material: TlsMaterial) => void)[] = [];
  #taken: Extract<Found, { kind: 'good' }>;
  /** What the last look has found, if it was something else than what is taken. */
  #doubt: { readonly digest: string; readonly isTold: boolean } | undefined;
  /** Whether the last that was told is that the files are not taken. */
  #isOutOfUse = false;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** Reads and checks the files, and looks after them from then on. @throws TlsFilesError */
  static async open(options: TlsFilesOptions): Promise<TlsFiles> {
    const { paths, logger } = options;
    const found = await look(paths);
    if (found.kind === 'bad') {
      throw found.error;
    }
    if (await isReadByAll(paths)) {
      logger.warn(
        { file: paths.keyFile },
        `every user of this machine may read the private key: chmod o-r the file of ${settingOfFile.keyFile}`,
      );
    }
    logger.info(describeCertificate(found.facts.leaf), 'TLS is spoken with this certificate');
    return new TlsFiles(options, found);
  }

  private constructor(options: TlsFilesOptions, found: Extract<Found, { kind: 'good' }>) {
    this.#options = options;
    this.#taken = found;
    this.#expiry = new CertificateExpiry(options.logger);
    this.#expiry.look(found.facts, Date.now());
    this.#lookIn(options.intervalMs);
  }

  get material(): TlsMaterial {
    return this.#taken.material;
  }

  onChange(listener: (material: TlsMaterial) => void): void {
    this.#listeners.push(listener);
  }

  /** Looks no more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #lookIn(ms: number): void {
    if (!this.#isClosed) {
      this.#timer = setTimeout(() => void this.#look(), ms).unref();
    }
  }

  async #look(): Promise<void> {
    const { paths, intervalMs } = this.#options;
    const isSettled = this.#settle(await look(paths, this.#taken));
    this.#expiry.look(this.#taken.facts, Date.now());
    this.#lookIn(isSettled ? intervalMs : Math.min(intervalMs, longestSettleMs));
  }

  /** Takes what was found, or tells why not. Answers whether there is nothing left to find out. */
  #settle(found: Found): boolean {
    const { logger } = this.#options;
    if (found.digest === this.#taken.digest) {
      if (this.#isOutOfUse) {
        this.#isOutOfUse = false;
        logger.info({}, 'the files of TLS are again those that are in use');
      }
      this.#doubt = undefined;
      return true;
    }
    if (this.#doubt?.digest !== found.digest) {
      this.#doubt = { digest: found.digest, isTold: false };
      return false;
    }
    if (found.kind === 'good') {
      this.#doubt = undefined;
      this.#isOutOfUse = false;
      this.#taken = found;
      logger.info(
        describeCertificate(found.facts.leaf),
        'TLS: new connections get this certificate from now on',
      );
      for (const listener of this.#listeners) {
        listener(found.material);
      }
    } else if (!this.#doubt.isTold) {
      this.#doubt = { digest: found.digest, isTold: true };
      this.#isOutOfUse = true;
      logger.error(
        { inUse: describeCertificate(this.#taken.facts.leaf) },
        `the changed files of TLS are not taken, and the certificate in use stays: ${found.error.message}`,
      );
    }
    return true;
  }
}

/** @param taken what is in use: if it is found again it is not checked again. */
async function look(paths: TlsPaths, taken?: Found): Promise<Found> {
  let digest = '';
  try {
    const material = await readTlsFiles(paths);
    digest = createHash('sha256').update(JSON.stringify(material)).digest('hex');
    if (digest === taken?.digest) {
      return taken;
    }
    return { kind: 'good', digest, material, facts: checkTlsMaterial(material, paths, Date.now()) };
  } catch (error) {
    const wrong =
      error instanceof TlsFilesError
        ? error
        : new TlsFilesError('the files of TLS cannot be checked: look at the cause', {
            cause: error,
          });
    return { kind: 'bad', digest: digest || wrong.message, error: wrong };
  }
}

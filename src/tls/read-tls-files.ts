import { readFile, stat } from 'node:fs/promises';
import { TlsFilesError, type TlsMaterial } from './tls-material.ts';

/** Where the material is. */
export interface TlsPaths {
  readonly certFile: string;
  readonly keyFile: string;
  /** Undefined where clients are asked for no certificate. */
  readonly clientCaFile: string | undefined;
  /** Undefined where no list says which certificates of clients are taken back. */
  readonly clientCrlFile: string | undefined;
}

/** The settings of the files, by which messages name them. */
export const settingOfFile: Readonly<Record<keyof TlsPaths, string>> = {
  certFile: 'DARKROOM_TLS_CERT_FILE',
  keyFile: 'DARKROOM_TLS_KEY_FILE',
  clientCaFile: 'DARKROOM_TLS_CLIENT_CA_FILE',
  clientCrlFile: 'DARKROOM_TLS_CLIENT_CRL_FILE',
};

/** Far more than any chain or list of authorities has, and as much as some 100,000 revocations. In bytes. */
const maxFileBytes = 4 * 1024 * 1024;

/** Reads the files, whatever is in them. @throws TlsFilesError where one cannot be read. */
export async function readTlsFiles(paths: TlsPaths): Promise<TlsMaterial> {
  const { clientCaFile, clientCrlFile } = paths;
  const [certificate, key, clientCa, clientCrl] = await Promise.all([
    read('certFile', paths.certFile),
    read('keyFile', paths.keyFile),
    clientCaFile === undefined ? undefined : read('clientCaFile', clientCaFile),
    clientCrlFile === undefined ? undefined : read('clientCrlFile', clientCrlFile),
  ]);
  return { certificate, key, clientCa, clientCrl };
}

/** Whether users of this machine who are neither owner nor of the group may read the key. */
export async function isReadByAll({ keyFile }: TlsPaths): Promise<boolean> {
  const { mode } = await stat(keyFile);
  return (mode & 0o004) !== 0;
}

async function read(which: keyof TlsPaths, path: string): Promise<string> {
  const name = `${settingOfFile[which]} (${path})`;
  try {
    const file = await stat(path);
    // To read from a pipe would be to wait for ever.
    if (!file.isFile()) {
      throw new TlsFilesError(`${name} is not a file: give the path of a file in PEM form`);
    }
    if (file.size > maxFileBytes) {
      throw new TlsFilesError(
        `${name} has ${file.size} bytes: give a file in PEM form, of ${maxFileBytes} bytes at most`,
      );
    }
    return await readFile(path, 'latin1');
  } catch (error) {
    throw error instanceof TlsFilesError
      ? error
      : new TlsFilesError(`${name} ${why(error)}`, { cause: error });
  }
}

function why(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'does not exist: give the path of the file, as this process sees it';
    case 'EACCES':
    case 'EPERM':
      return 'may not be read by the user of this process: give that user the right to';
    default:
      return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
  }
}

import { flushCompileCache } from 'node:module';
import { resolve } from 'node:path';
import { knowsCallers } from './config/identity-settings.ts';
import { serviceLinksIn } from './config/service-links.ts';
import { readSettings, SettingsError, type Settings } from './config/settings.ts';
import { DataFolderInUseError } from './database/data-folder-lock.ts';
import { SecretKeyFileError } from './secrets/secret-key-file.ts';
import { AuditFileError } from './server/audit/audit-file.ts';
import { WatchedFileError } from './runtime/watched-file.ts';
import { processCount } from './processes/member-settings.ts';
import { MemberStartError, startProcessGroup } from './processes/process-group.ts';
import { openLog, tellDefects } from './processes/process-log.ts';
import { readyText } from './processes/terminal-log.ts';
import { giveBackFreedMemory } from './runtime/malloc-memory.ts';
import { collectYoungGarbageOften } from './runtime/young-garbage.ts';
import { TlsFilesError, type TlsSource } from './tls/tls-material.ts';

/** Exit codes: 0 stopped as asked, 1 failed, 2 settings are wrong. */
const exitCodes = { failed: 1, settings: 2 } as const;

/** ms */
const lingerMs = 5000;

/** What this process runs: the service, or the processes that are it. */
interface Running {
  readonly url: string;
  readonly database: 'embedded' | 'external';
  stop(): Promise<void>;
}

const settings = settingsOrExit();
const processes = processCount(settings);
const logger = openLog(settings.logLevel, null);

const links = serviceLinksIn(process.env);
if (links.length > 0) {
  logger.info(
    { variables: links },
    'not taken for settings: these variables are links to a Service of Kubernetes',
  );
}

let running: Running | undefined;
/** What is not done yet, and must not end without a word. */
let unfinished: 'start' | 'stop' | undefined = 'start';
const stopping = new AbortController();

tellDefects(logger, () => unfinished);

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping.signal.aborted) {
      logger.warn({ signal }, 'stopping at once');
      process.exit(exitCodes.failed);
    }
    logger.info(
      { signal },
      'stopping: running uploads are given some time; a second signal ends at once',
    );
    stopping.abort();
    void stop();
  });
}

try {
  running = await start();
  unfinished = undefined;
  tellReady(running);
  // Else it would be kept at a good end only.
  flushCompileCache();
} catch (error) {
  unfinished = undefined;
  if (stopping.signal.aborted) {
    onStopped();
  } else {
    logger.fatal({ err: error }, messageOf(error));
    process.exitCode = exitCodeOf(error);
  }
}

async function start(): Promise<Running> {
  const { signal } = stopping;
  const tls = await openTls();
  if (processes > 1) {
    return startProcessGroup({ settings, processes, tls, logger, signal });
  }
  // Not read by the first of several processes, which needs none of it: 100 MiB and a second of CPU.
  const { startService } = await import('./service.ts');
  collectYoungGarbageOften();
  giveBackFreedMemory();
  return startService(settings, logger, signal, tls);
}

/** What is spoken on the port; undefined for plaintext. The files are looked after for as long as this process lives. */
async function openTls(): Promise<TlsSource | undefined> {
  const { tlsCertFile, tlsKeyFile, tlsClientCaFile, tlsClientCrlFile, tlsReloadIntervalMs } =
    settings;
  if (tlsCertFile === undefined || tlsKeyFile === undefined) {
    return undefined;
  }
  const { TlsFiles } = await import('./tls/tls-files.ts');
  const paths = {
    certFile: tlsCertFile,
    keyFile: tlsKeyFile,
    clientCaFile: tlsClientCaFile,
    clientCrlFile: tlsClientCrlFile,
  };
  return TlsFiles.open({ paths, intervalMs: tlsReloadIntervalMs, logger });
}

function exitCodeOf(error: unknown): number {
  if (error instanceof MemberStartError) {
    return error.exitCode;
  }
  return error instanceof DataFolderInUseError ||
    error instanceof WatchedFileError ||
    error instanceof AuditFileError ||
    error instanceof SecretKeyFileError ||
    error instanceof TlsFilesError
    ? exitCodes.settings
    : exitCodes.failed;
}

/** A service that is starting stops by itself. */
async function stop(): Promise<void> {
  if (running) {
    unfinished = 'stop';
    await running.stop();
    unfinished = undefined;
    onStopped();
  }
}

function onStopped(): void {
  logger.info('stopped');
  // Nothing should keep the process alive now; if something does, it is not worth waiting for.
  setTimeout(() => process.exit(exitCodes.failed), lingerMs).unref();
}

/** To people who have just started it in a few lines, else to the log. */
function tellReady({ url, database }: Running): void {
  if (process.stdout.isTTY && logger.isLevelEnabled('info')) {
    const { dataDir } = settings;
    const isUsualPlace = url === 'http://127.0.0.1:8080';
    const isOpen = !knowsCallers(settings);
    process.stdout.write(
      readyText({ url, dataDir: resolve(dataDir), database, processes, isOpen, isUsualPlace }),
    );
    return;
  }
  logger.info({ url, pid: process.pid, database, processes }, readyLine(url));
}

function readyLine(url: string): string {
  const { tlsCertFile, tlsClientCaFile, tlsClientAuth } = settings;
  const options = [
    tlsCertFile === undefined
      ? '--http2-prior-knowledge'
      : '--cacert <authority of the certificate>',
    ...(tlsClientCaFile !== undefined && tlsClientAuth !== 'optional'
      ? ['--cert <your certificate> --key <its key>']
      : []),
  ];
  return (
    `Darkroom is ready on ${url}. Try: npx buf curl ${options.join(' ')} ` +
    `${url}/darkroom.v1.ImageService/ListImages`
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function settingsOrExit(): Settings {
  try {
    return readSettings(process.env);
  } catch (error) {
    if (!(error instanceof SettingsError)) {
      throw error;
    }
    process.stderr.write(`${error.message}\n`);
    process.exit(exitCodes.settings);
  }
}

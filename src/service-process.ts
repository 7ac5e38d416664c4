import { flushCompileCache } from 'node:module';
import { pino } from 'pino';
import { serviceLinksIn } from './config/service-links.ts';
import { readSettings, SettingsError, type Settings } from './config/settings.ts';
import { DataFolderInUseError } from './database/embedded-postgres.ts';
import { withHiddenEscaped } from './domain/hidden-characters.ts';
import { collectYoungGarbageOften } from './runtime/young-garbage.ts';
import { startService, type Service } from './service.ts';

/** Exit codes: 0 stopped as asked, 1 failed, 2 settings are wrong. */
const exitCodes = { failed: 1, settings: 2 } as const;

/** ms */
const lingerMs = 5000;

collectYoungGarbageOften();
const settings = settingsOrExit();
const logger = pino({
  level: settings.logLevel,
  base: null,
  // Lines hold what callers and sources wrote, and are read in terminals.
  hooks: { streamWrite: withHiddenEscaped },
});

const links = serviceLinksIn(process.env);
if (links.length > 0) {
  logger.info(
    { variables: links },
    'not taken for settings: these variables are links to a Service of Kubernetes',
  );
}

let service: Service | undefined;
/** What is not done yet, and must not end without a word. */
let unfinished: 'start' | 'stop' | undefined = 'start';
const stopping = new AbortController();

process.on('uncaughtExceptionMonitor', (error) => {
  logger.fatal(
    { err: error },
    'a defect of the service ends it; the next start repairs what it left',
  );
});

// Node ends with code 13 and says nothing when what is awaited can no longer come.
process.on('beforeExit', () => {
  if (unfinished !== undefined) {
    logger.fatal(
      `a defect of the service ends it: its ${unfinished} waited for what can no longer come`,
    );
    process.exit(exitCodes.failed);
  }
});

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
  service = await startService(settings, logger, stopping.signal);
  unfinished = undefined;
  logger.info(
    { url: service.url, pid: process.pid, database: service.database },
    readyLine(service.url),
  );
  // Else it would be kept at a good end only.
  flushCompileCache();
} catch (error) {
  unfinished = undefined;
  if (stopping.signal.aborted) {
    onStopped();
  } else {
    logger.fatal({ err: error }, messageOf(error));
    process.exitCode =
      error instanceof DataFolderInUseError ? exitCodes.settings : exitCodes.failed;
  }
}

/** A service that is starting stops by itself. */
async function stop(): Promise<void> {
  if (service) {
    unfinished = 'stop';
    await service.stop();
    unfinished = undefined;
    onStopped();
  }
}

function onStopped(): void {
  logger.info('stopped');
  // Nothing should keep the process alive now; if something does, it is not worth waiting for.
  setTimeout(() => process.exit(exitCodes.failed), lingerMs).unref();
}

function readyLine(url: string): string {
  return (
    `Darkroom is ready on ${url}. Try: npx buf curl --http2-prior-knowledge ` +
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

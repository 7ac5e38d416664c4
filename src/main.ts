import { pino } from 'pino';
import { serviceLinksIn } from './config/service-links.ts';
import { readSettings, SettingsError, type Settings } from './config/settings.ts';
import { DataFolderInUseError } from './database/embedded-postgres.ts';
import { collectYoungGarbageOften } from './runtime/young-garbage.ts';
import { startService, type Service } from './service.ts';

/** Exit codes: 0 stopped as asked, 1 failed, 2 settings are wrong. */
const exitCodes = { failed: 1, settings: 2 } as const;

/** ms */
const lingerMs = 5000;

collectYoungGarbageOften();
const settings = settingsOrExit();
const logger = pino({ level: settings.logLevel, base: null });

const links = serviceLinksIn(process.env);
if (links.length > 0) {
  logger.info(
    { variables: links },
    'not taken for settings: these variables are links to a Service of Kubernetes',
  );
}

let service: Service | undefined;
let stopping = false;

process.on('uncaughtExceptionMonitor', (error) => {
  logger.fatal(
    { err: error },
    'a defect of the service ends it; the next start repairs what it left',
  );
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping) {
      logger.warn({ signal }, 'stopping at once');
      process.exit(exitCodes.failed);
    }
    stopping = true;
    logger.info(
      { signal },
      'stopping: running uploads are given some time; a second signal ends at once',
    );
    void service?.stop().then(onStopped);
  });
}

try {
  service = await startService(settings, logger);
  if (stopping) {
    await service.stop();
    onStopped();
  } else {
    logger.info(
      { url: service.url, pid: process.pid, database: service.database },
      readyLine(service.url),
    );
  }
} catch (error) {
  logger.fatal({ err: error }, messageOf(error));
  process.exitCode = error instanceof DataFolderInUseError ? exitCodes.settings : exitCodes.failed;
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

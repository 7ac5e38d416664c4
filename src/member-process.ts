import { flushCompileCache } from 'node:module';
import type { Socket } from 'node:net';
import { readSettings } from './config/settings.ts';
import { SecretKeyFileError } from './secrets/secret-key-file.ts';
import { AuditFileError } from './server/audit/audit-file.ts';
import { WatchedFileError } from './runtime/watched-file.ts';
import { HandedConnections } from './processes/handed-connections.ts';
import { HandedTls } from './processes/handed-tls.ts';
import { memberSettings, processCount } from './processes/member-settings.ts';
import { openLog, tellDefects } from './processes/process-log.ts';
import type { GroupMessage, MemberMessage } from './processes/process-messages.ts';
import type { PortAddress } from './runtime/port.ts';
import { giveBackFreedMemory } from './runtime/malloc-memory.ts';
import { collectYoungGarbageOften } from './runtime/young-garbage.ts';
import { startService, type Service } from './service.ts';

/** One of several processes that serve: the first one starts it, and it stops when that says so or is gone. */

/** ms */
const lingerMs = 5000;

collectYoungGarbageOften();
giveBackFreedMemory();
const all = readSettings(process.env);
const settings = memberSettings(all, processCount(all));
const logger = openLog(settings.logLevel, { process: process.pid });

let service: Service | undefined;
let unfinished: 'start' | 'stop' | undefined = 'start';
tellDefects(logger, () => unfinished);
const stopping = new AbortController();
const port = Promise.withResolvers<PortAddress>();
const embedded = Promise.withResolvers<string>();
const source = new HandedConnections(port.promise);
const tls = Promise.withResolvers<HandedTls | undefined>();

process.on('message', (message: GroupMessage, socket: Socket | undefined) => {
  switch (message.kind) {
    case 'start':
      port.resolve(message);
      tls.resolve(message.tls && new HandedTls(message.tls));
      break;
    case 'tls':
      void tls.promise.then((handed) => handed?.hand(message.material));
      break;
    case 'database':
      embedded.resolve(message.url);
      break;
    case 'connection':
      source.hand(socket);
      tell({ kind: 'taken' });
      break;
    case 'stop':
      void stop();
  }
});
process.once('disconnect', () => void stop());
// Ctrl-C, and some who stop a service, signal every process of it: each is told twice then.
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => void stop());
}

try {
  service = await startService(settings, logger, stopping.signal, await tls.promise, {
    source,
    embedded: embedded.promise,
    onListening: () => tell({ kind: 'listening' }),
  });
  unfinished = undefined;
  tell({ kind: 'ready' });
  flushCompileCache();
} catch (error) {
  unfinished = undefined;
  if (stopping.signal.aborted) {
    end();
  } else {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    const exitCode =
      error instanceof WatchedFileError ||
      error instanceof AuditFileError ||
      error instanceof SecretKeyFileError
        ? 2
        : 1;
    tell({ kind: 'failed', message, stack, exitCode }, () => process.exit(exitCode));
  }
}

/** A service that is starting stops by itself. */
async function stop(): Promise<void> {
  if (stopping.signal.aborted) {
    return;
  }
  stopping.abort();
  if (service) {
    unfinished = 'stop';
    await service.stop();
    unfinished = undefined;
    end();
  }
}

/** Lets go of the first process: nothing else should keep this one alive. */
function end(): void {
  if (process.connected) {
    process.disconnect();
  }
  setTimeout(() => process.exit(1), lingerMs).unref();
}

function tell(message: MemberMessage, onTold: () => void = () => {}): void {
  if (process.connected) {
    process.send?.(message, undefined, undefined, onTold);
  } else {
    onTold();
  }
}

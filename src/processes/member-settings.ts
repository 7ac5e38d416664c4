import { availableParallelism } from 'node:os';
import type { Settings } from '../config/settings.ts';

/** How many processes serve. */
export function processCount({ processes }: Pick<Settings, 'processes'>): number {
  return processes === 0 ? availableParallelism() : processes;
}

/**
 * The settings of one of so many processes: what is limited for all of them together is shared out. Those limits that
 * the database counts (`DARKROOM_MAX_UPLOADS` and the like) hold over all processes by themselves.
 */
export function memberSettings(settings: Settings, processes: number): Settings {
  const share = (total: number): number => Math.ceil(total / processes);
  return {
    ...settings,
    // One is not enough: a transaction may need another connection beside its own.
    databasePoolSize: Math.max(2, share(settings.databasePoolSize)),
    maxConnections: share(settings.maxConnections),
    maxConnectionsPerPeer: share(settings.maxConnectionsPerPeer),
    maxOpenRequests: share(settings.maxOpenRequests),
    maxOpenRequestsPerPeer: share(settings.maxOpenRequestsPerPeer),
    maxWatches: share(settings.maxWatches),
    tlsHandshakesPerPeer: share(settings.tlsHandshakesPerPeer),
    maxDownloads: share(settings.maxDownloads),
    maxUnpackings: share(settings.maxUnpackings),
  };
}

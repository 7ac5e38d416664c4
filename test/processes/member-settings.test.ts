import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { readSettings } from '../../src/config/settings.ts';
import { memberSettings, processCount } from '../../src/processes/member-settings.ts';

test('there is a process for each core, unless it is said otherwise', () => {
  expect(processCount(readSettings({}))).toBe(availableParallelism());
  expect(processCount(readSettings({ DARKROOM_PROCESSES: '7' }))).toBe(7);
});

test('what is limited for all of them is shared out, and rather too much than too little', () => {
  const settings = readSettings({
    DARKROOM_MAX_CONNECTIONS: '10',
    DARKROOM_MAX_CONNECTIONS_PER_PEER: '9',
    DARKROOM_MAX_OPEN_REQUESTS: '100',
    DARKROOM_MAX_OPEN_REQUESTS_PER_PEER: '50',
    DARKROOM_MAX_WATCHES: '20',
    DARKROOM_MAX_DOWNLOADS: '6',
    DARKROOM_MAX_UNPACKINGS: '1',
    DARKROOM_DATABASE_POOL_SIZE: '4',
  });
  expect(memberSettings(settings, 4)).toEqual({
    ...settings,
    maxConnections: 3,
    maxConnectionsPerPeer: 3,
    maxOpenRequests: 25,
    maxOpenRequestsPerPeer: 13,
    maxWatches: 5,
    maxDownloads: 2,
    tlsHandshakesPerPeer: 50,
    maxUnpackings: 1,
    databasePoolSize: 2,
  });
  expect(memberSettings(settings, 1)).toEqual(settings);
});

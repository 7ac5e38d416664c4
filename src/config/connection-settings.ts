import { isIP } from 'node:net';
import { isHostPattern } from '../domain/host-name.ts';
import { list, wholeNumber } from './setting-spec.ts';

/** The settings of who may connect and call. Times are in ms. */
export const connectionSettingSpecs = {
  hosts: list(
    'DARKROOM_HOSTS',
    '',
    (name) => name === '*' || (isHostPattern(name) && isIP(name) === 0 && !name.includes(':')),
    'a list of names such as darkroom.example.com or *.example.com, separated by commas, or * for all',
    'Names by which the service may be called, besides any IP address, localhost and DARKROOM_HOST.',
  ),
  corsOrigins: list(
    'DARKROOM_CORS_ORIGINS',
    '',
    (origin) => origin === '*' || (!origin.includes('*') && URL.parse(origin)?.origin === origin),
    'a list of origins such as https://console.example.com, separated by commas, or * for all',
    'Origins whose pages may call the service from a browser, besides its own; none if none is set.',
  ),
  maxConnections: wholeNumber(
    'DARKROOM_MAX_CONNECTIONS',
    4096,
    [1, 1_000_000],
    'connections',
    'Largest number of connections of clients at the same time.',
  ),
  maxConnectionsPerPeer: wholeNumber(
    'DARKROOM_MAX_CONNECTIONS_PER_PEER',
    2048,
    [1, 1_000_000],
    'connections',
    'Largest number of connections of one client address (of IPv6, one /64) at the same time.',
  ),
  headTimeoutMs: wholeNumber(
    'DARKROOM_HEAD_TIMEOUT_MS',
    10_000,
    [10, 3_600_000],
    'ms',
    'How long the head of a request, or the beginning of a connection of HTTP/2, may take.',
  ),
  idleTimeoutMs: wholeNumber(
    'DARKROOM_IDLE_CONNECTION_TIMEOUT_MS',
    75_000,
    [10, 24 * 3600 * 1000],
    'ms',
    'A connection on which no request is open for so long is closed.',
  ),
  // Twice what a connection may have open, so that a client may cancel all it has and do so again; and then as many each
  // second as a busy client with short deadlines.
  maxGivenUpCalls: wholeNumber(
    'DARKROOM_MAX_GIVEN_UP_CALLS',
    512,
    [1, 1_000_000],
    'calls',
    'A connection of HTTP/2 that gives up more calls than these within a second of their begin is ended.',
  ),
  maxGivenUpCallsPerSecond: wholeNumber(
    'DARKROOM_MAX_GIVEN_UP_CALLS_PER_SECOND',
    100,
    [1, 1_000_000],
    'calls/s',
    'How many more such calls a connection may give up each second.',
  ),
  floodPauseMs: wholeNumber(
    'DARKROOM_FLOOD_PAUSE_MS',
    200,
    [0, 60_000],
    'ms',
    'After a connection was ended for a flood, new ones of its address are served so far apart, for ten times as long.',
  ),
  maxStreamWindowBytes: wholeNumber(
    'DARKROOM_MAX_STREAM_WINDOW_BYTES',
    64 * 1024 * 1024,
    [64 * 1024, 1024 * 1024 * 1024],
    'bytes',
    'Most that a call of HTTP/2 may send ahead of what is read, over a line so long that it needs it; a power of two, or the next below.',
  ),
  maxUnreadBytes: wholeNumber(
    'DARKROOM_MAX_UNREAD_BYTES',
    256 * 1024 * 1024,
    [1024 * 1024, 1024 * 1024 * 1024 * 1024],
    'bytes',
    'Most that all calls of HTTP/2 may send ahead, in each process: shared by the connections that send, of whose calls each may have 64 KiB at least.',
  ),
} as const;

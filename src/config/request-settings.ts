import { wholeNumber } from './setting-spec.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

/** The settings of what requests may be, of one connection and of all. Sizes are in bytes. */
export const requestSettingSpecs = {
  maxOpenRequests: wholeNumber(
    'DARKROOM_MAX_OPEN_REQUESTS',
    32_768,
    [1, 10_000_000],
    'requests',
    'Largest number of requests that are open at the same time, watches and uploads among them.',
  ),
  maxOpenRequestsPerPeer: wholeNumber(
    'DARKROOM_MAX_OPEN_REQUESTS_PER_PEER',
    16_384,
    [1, 10_000_000],
    'requests',
    'Largest number of requests of one client address (of IPv6, one /64) that are open at the same time.',
  ),
  // Bounds with the windows what one client can hold.
  maxConcurrentStreams: wholeNumber(
    'DARKROOM_MAX_CONCURRENT_STREAMS',
    256,
    [1, 65_535],
    'requests',
    'Largest number of requests of one connection at the same time: streams of HTTP/2, or what HTTP/1.1 sends ahead.',
  ),
  maxHeaderBytes: wholeNumber(
    'DARKROOM_MAX_HEADER_BYTES',
    64 * KiB,
    [8 * KiB, MiB],
    'bytes',
    'Largest head of a request: its headers, and so the metadata of gRPC, and its path with the query.',
  ),
  maxHeaders: wholeNumber(
    'DARKROOM_MAX_HEADERS',
    128,
    [16, 10_000],
    'headers',
    'Largest number of headers of a request.',
  ),
  maxMessageBytes: wholeNumber(
    'DARKROOM_MAX_MESSAGE_BYTES',
    MiB,
    [64 * KiB, 64 * MiB],
    'bytes',
    'Largest message of a call, after it is inflated as well, but for uploads: theirs are bounded by the largest chunk.',
  ),
  // Node's default of 10 MB counts what waits to be sent: ten downloads of 1 MiB chunks to slow readers would have new calls
  // of that client refused.
  maxUnsentBytes: wholeNumber(
    'DARKROOM_MAX_UNSENT_BYTES',
    256 * MiB,
    [MiB, 4096 * MiB],
    'bytes',
    'How much may wait on a connection of HTTP/2 until its client takes it; beyond that its new calls are refused.',
  ),
  // A client of gRPC pings every ten seconds at most while nothing is sent.
  maxPingsPerSecond: wholeNumber(
    'DARKROOM_MAX_PINGS_PER_SECOND',
    100,
    [1, 1_000_000],
    'frames/s',
    'A connection of HTTP/2 that sends more PING frames than these, while it is sent nothing, is ended.',
  ),
  maxSettingsPerSecond: wholeNumber(
    'DARKROOM_MAX_SETTINGS_PER_SECOND',
    50,
    [1, 1_000_000],
    'frames/s',
    'A connection of HTTP/2 that sends more SETTINGS frames than these is ended.',
  ),
} as const;

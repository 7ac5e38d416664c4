import { z } from 'zod';
import { connectionSettingSpecs } from './connection-settings.ts';
import { identityProblems, identitySettingSpecs } from './identity-settings.ts';
import { importSettingSpecs } from './import-settings.ts';
import { commandVariables } from './command-variables.ts';
import { serviceLinksIn } from './service-links.ts';
import { requestSettingSpecs } from './request-settings.ts';
import { oneOf, setting, text, wholeNumber, type SettingSpec } from './setting-spec.ts';
import { tlsSettingSpecs, wireProblems } from './tls-settings.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const TiB = 1024 * 1024 * MiB;

const day = 24 * 3600 * 1000;

/**
 * Every setting, once. Sizes are in bytes, times in ms. docs/settings.md is written from this
 * list by `npm run generate`.
 */
export const settingSpecs = {
  host: text('DARKROOM_HOST', '127.0.0.1', 'Address to listen on.'),
  port: wholeNumber(
    'DARKROOM_PORT',
    8080,
    [0, 65_535],
    '',
    'Port to listen on, for every protocol; 0 takes any free one.',
  ),
  processes: wholeNumber(
    'DARKROOM_PROCESSES',
    0,
    [0, 256],
    'processes',
    'How many processes serve the port; 0 for one for each core.',
  ),
  dataDir: text(
    'DARKROOM_DATA_DIR',
    './data',
    'Folder of the blobs and of the embedded PostgreSQL; made if it is not there.',
  ),
  databaseUrl: setting<string | undefined>({
    env: 'DATABASE_URL',
    schema: z
      .string()
      .refine((value) => /^postgres(ql)?:$/.test(URL.parse(value)?.protocol ?? ''))
      .optional(),
    default: undefined,
    allowed: 'a URL such as postgresql://user:password@host:5432/database',
    description: 'The PostgreSQL to use. Without it an embedded one runs below the data folder.',
  }),
  databasePoolSize: wholeNumber(
    'DARKROOM_DATABASE_POOL_SIZE',
    20,
    [2, 1000],
    'connections',
    'Largest number of connections to PostgreSQL, besides one that listens. ' +
      'A quarter of them, and at least one, read for callers; two at least do all else, so that 2 stands for 3.',
  ),
  databaseWaitMs: wholeNumber(
    'DARKROOM_DATABASE_WAIT_MS',
    5 * 60 * 1000,
    [0, day],
    'ms',
    'How long a start waits for a database that is away, before it gives up with exit code 1.',
  ),
  logLevel: oneOf(
    'DARKROOM_LOG_LEVEL',
    'info',
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    'Least severe log lines to write. The log is JSON lines on standard output.',
  ),
  auditFile: setting<string | undefined>({
    env: 'DARKROOM_AUDIT_FILE',
    schema: z.string().trim().min(1).optional(),
    default: undefined,
    allowed: 'the path of a file',
    description: 'Where is written who changed what, and who was refused; nowhere if not set.',
  }),
  secretsKeyFile: setting<string | undefined>({
    env: 'DARKROOM_SECRETS_KEY_FILE',
    schema: z.string().trim().min(1).optional(),
    default: undefined,
    allowed: 'the path of a file',
    description:
      'Keys by which addresses and headers of imports are encrypted in the database, 64 hexadecimal digits a line; the first one writes, all read; read again when it changes. Without it secrets.key in the data folder, which is made.',
  }),
  ...tlsSettingSpecs,
  ...connectionSettingSpecs,
  ...requestSettingSpecs,
  ...identitySettingSpecs,
  maxChunkBytes: wholeNumber(
    'DARKROOM_MAX_CHUNK_BYTES',
    4 * MiB,
    [64 * KiB, 64 * MiB],
    'bytes',
    'Largest chunk of an upload.',
  ),
  maxImageBytes: wholeNumber(
    'DARKROOM_MAX_IMAGE_BYTES',
    16 * TiB,
    [1, Number.MAX_SAFE_INTEGER],
    'bytes',
    'Largest image.',
  ),
  maxUnpackings: wholeNumber(
    'DARKROOM_MAX_UNPACKINGS',
    2,
    [1, 1000],
    'images',
    'Largest number of images that this process unpacks at the same time, each with up to some 130 MiB of memory.',
  ),
  maxUnpackedBytes: wholeNumber(
    'DARKROOM_MAX_UNPACKED_BYTES',
    TiB,
    [1, Number.MAX_SAFE_INTEGER],
    'bytes',
    'Largest image that is unpacked, zeros counted.',
  ),
  maxUnpackedRatio: wholeNumber(
    'DARKROOM_MAX_UNPACKED_RATIO',
    200,
    [1, 1_000_000],
    'times',
    'How many times as much room as what was sent an unpacked image may take up, beyond 64 MiB, zeros not counted.',
  ),
  maxUploads: wholeNumber(
    'DARKROOM_MAX_UPLOADS',
    256,
    [1, 100_000],
    'streams',
    'Largest number of uploads at the same time, over all processes.',
  ),
  maxUploadsPerProject: wholeNumber(
    'DARKROOM_MAX_UPLOADS_PER_PROJECT',
    64,
    [1, 100_000],
    'streams',
    'Largest number of uploads of one project at the same time, over all processes.',
  ),
  maxStoredBytesPerProject: wholeNumber(
    'DARKROOM_MAX_STORED_BYTES_PER_PROJECT',
    0,
    [0, Number.MAX_SAFE_INTEGER],
    'bytes',
    'Quota of a project: bytes in the store, holes not counted; 0 for no limit. UpdateQuota sets another one.',
  ),
  maxInFlightBytesPerProject: wholeNumber(
    'DARKROOM_MAX_IN_FLIGHT_BYTES_PER_PROJECT',
    0,
    [0, Number.MAX_SAFE_INTEGER],
    'bytes',
    'Quota of a project: bytes of uploads and imports that have not ended; 0 for no limit.',
  ),
  maxImagesPerProject: wholeNumber(
    'DARKROOM_MAX_IMAGES_PER_PROJECT',
    0,
    [0, Number.MAX_SAFE_INTEGER],
    'images',
    'Quota of a project: images that are not deleted; 0 for no limit.',
  ),
  maxLiveTasksPerProject: wholeNumber(
    'DARKROOM_MAX_LIVE_TASKS_PER_PROJECT',
    0,
    [0, Number.MAX_SAFE_INTEGER],
    'tasks',
    'Quota of a project: tasks that have not ended; 0 for no limit.',
  ),
  maxRequestsPerProject: wholeNumber(
    'DARKROOM_MAX_REQUESTS_PER_PROJECT',
    0,
    [0, 1_000_000],
    'requests/s',
    'Quota of a project: requests a second, over all processes; 0 for no limit.',
  ),
  maxDownloads: wholeNumber(
    'DARKROOM_MAX_DOWNLOADS',
    256,
    [1, 100_000],
    'downloads',
    'Largest number of downloads at the same time, each with some 3 MiB of memory.',
  ),
  maxWatches: wholeNumber(
    'DARKROOM_MAX_WATCHES',
    20_000,
    [1, 10_000_000],
    'watches',
    'Largest number of watches at the same time, each with some 16 KiB of memory.',
  ),
  maxWatchesPerCaller: wholeNumber(
    'DARKROOM_MAX_WATCHES_PER_CALLER',
    5000,
    [1, 10_000_000],
    'watches',
    'Largest number of watches of one caller, a user in a project, at the same time, over all processes on one database.',
  ),
  maxImageMembers: wholeNumber(
    'DARKROOM_MAX_IMAGE_MEMBERS',
    128,
    [0, 10_000],
    'projects',
    'Largest number of projects that an image is shared with.',
  ),
  taskIdleTimeoutMs: wholeNumber(
    'DARKROOM_TASK_IDLE_TIMEOUT_MS',
    15 * 60 * 1000,
    [1000, 7 * day],
    'ms',
    'How long a task waits for the next sign of life before it fails, where CreateImage does not say.',
  ),
  streamIdleTimeoutMs: wholeNumber(
    'DARKROOM_STREAM_IDLE_TIMEOUT_MS',
    60_000,
    [100, day],
    'ms',
    'An upload stream, or a request, on which no byte arrives for so long is ended; its task goes on. So is an answer of which nothing is taken.',
  ),
  minUploadRate: wholeNumber(
    'DARKROOM_MIN_UPLOAD_RATE',
    1024,
    [0, 1024 * MiB],
    'bytes/s',
    'An upload stream that stays slower than this for a stream idle timeout is ended; its task goes on. 0 allows any.',
  ),
  commitBytes: wholeNumber(
    'DARKROOM_COMMIT_BYTES',
    64 * MiB,
    [64 * KiB, 1024 * MiB],
    'bytes',
    'An upload is made durable whenever so many bytes arrived since the last time.',
  ),
  commitIntervalMs: wholeNumber(
    'DARKROOM_COMMIT_INTERVAL_MS',
    500,
    [10, 60_000],
    'ms',
    'An upload is made durable at least so often while bytes arrive.',
  ),
  directWrites: oneOf(
    'DARKROOM_DIRECT_WRITES',
    'on',
    ['on', 'off'],
    'Whether large pieces of an upload are written past the page cache, where the file system can.',
  ),
  sweepIntervalMs: wholeNumber(
    'DARKROOM_SWEEP_INTERVAL_MS',
    1000,
    [50, 3_600_000],
    'ms',
    'How often expired tasks are looked for.',
  ),
  repairIntervalMs: wholeNumber(
    'DARKROOM_REPAIR_INTERVAL_MS',
    60_000,
    [1000, day],
    'ms',
    'How often the blob store is compared with the database and repaired, besides at start.',
  ),
  historyRetentionMs: wholeNumber(
    'DARKROOM_HISTORY_RETENTION_MS',
    30 * day,
    [1000, 3650 * day],
    'ms',
    'How long terminal tasks, their events and their faults are kept.',
  ),
  failedBytesRetentionMs: wholeNumber(
    'DARKROOM_FAILED_BYTES_RETENTION_MS',
    7 * day,
    [0, 3650 * day],
    'ms',
    'How long the bytes of a failed or cancelled task are kept for RetryTask to take over.',
  ),
  notComingRetentionMs: wholeNumber(
    'DARKROOM_NOT_COMING_RETENTION_MS',
    0,
    [0, 3650 * day],
    'ms',
    'Images that will never come, and are not protected, are deleted after so long; 0 keeps them.',
  ),
  formatCheck: oneOf(
    'DARKROOM_FORMAT_CHECK',
    'refuse',
    ['refuse', 'record'],
    'Whether an image that is not of its declared format, or unsafe, fails its task, or is taken with a fault.',
  ),
  ...importSettingSpecs,
  drainTimeoutMs: wholeNumber(
    'DARKROOM_DRAIN_TIMEOUT_MS',
    10_000,
    [0, 3_600_000],
    'ms',
    'How long a stopping service lets running uploads go on.',
  ),
} as const;

/** The settings with their values. */
export type Settings = {
  readonly [K in keyof typeof settingSpecs]: (typeof settingSpecs)[K] extends SettingSpec<infer T>
    ? T
    : never;
};

/** Thrown for settings that are wrong; the message has a line for each. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

/**
 * Reads the settings from environment variables. A variable that is set to nothing, or is a link to a Service of
 * Kubernetes (see `serviceLinksIn`), counts as not set.
 *
 * @throws SettingsError that names each wrong variable, what it was and what is allowed.
 */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const problems: string[] = [];
  const links = new Set(serviceLinksIn(env));
  const known = new Set<string>([
    ...Object.values(settingSpecs).map((spec) => spec.env),
    ...commandVariables,
  ]);
  for (const name of Object.keys(env)) {
    if (name.startsWith('DARKROOM_') && !known.has(name) && !links.has(name)) {
      problems.push(`${name} is not a setting of Darkroom: look for it in docs/settings.md`);
    }
  }
  const values: Record<string, unknown> = {};
  for (const [key, spec] of Object.entries(settingSpecs)) {
    const given = links.has(spec.env) ? undefined : env[spec.env];
    const raw = given === undefined || given === '' ? spec.default : given;
    const parsed = (spec.schema as z.ZodType).safeParse(raw);
    if (parsed.success) {
      values[key] = parsed.data;
    } else {
      const shown = spec.env === 'DATABASE_URL' ? 'what it is' : JSON.stringify(given);
      problems.push(`${spec.env} must be ${spec.allowed}, not ${shown}`);
    }
  }
  const areSound = problems.length === 0;
  problems.push(...identityProblems(values));
  if (areSound) {
    problems.push(...wireProblems(values as Settings));
  }
  if (problems.length > 0) {
    throw new SettingsError(problems.join('\n'));
  }
  return values as Settings;
}

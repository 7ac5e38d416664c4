import { parseArgs } from 'node:util';
import { ImageApi } from '../migration/image-api.ts';
import { migrate } from '../migration/migration.ts';
import { MigrationReport, ReportFileError } from '../migration/migration-report.ts';
import type { Environment } from './environment.ts';
import {
  keystoneSession,
  sourceTokens,
  targetTokens,
  trustedAuthorities,
} from './migrate-login.ts';
import { isComplete, progressLine, summaryOf } from './migrate-summary.ts';
import { UsageError } from './usage-error.ts';

export const migrateUsage = `  darkroom migrate-from-glance --to <url> [--from <url>] [--token-file <path> | --same-token] [--into-own-project]
    [--image <id>]… [--owner <project>]… [--visibility <word>]… [--parallel <n>] [--report <path>] [--dry-run]

Copies images from Glance to Darkroom, and goes on where it was when it is run again. Glance is at --from, or where the
catalog of the Keystone at OS_AUTH_URL says; its caller is known by OS_AUTH_TOKEN, or by OS_USERNAME, OS_PASSWORD and so on, as by
OpenStack's clients. Darkroom's caller is known by the token in --token-file or DARKROOM_TOKEN, or, with --same-token, by that for Glance.
`;

/** Where a command writes to. */
export interface CommandStreams {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
}

/** How often progress is shown, in ms. */
const progressMs = 500;

/**
 * Copies images, and tells what became of them.
 *
 * @returns the exit code: 0 where all are there, 1 where some are not.
 * @throws UsageError; ReportFileError, ApiFailure or an Error of the network, where nothing could be copied at all.
 */
export async function migrateCommand(
  args: readonly string[],
  environment: Environment,
  { stdout, stderr }: CommandStreams,
): Promise<0 | 1> {
  const options = parsed(args);
  const keystone = keystoneSession(environment);
  const tokens = sourceTokens(environment, keystone);
  const authorities = trustedAuthorities(environment);
  const toTokens = targetTokens(
    environment,
    options['token-file'],
    options['same-token'] === true ? tokens : undefined,
  );
  const to = urlOf('--to', options.to);
  if (options.from === undefined && keystone === undefined) {
    throw new UsageError('say where Glance is: --from <url>, or OS_AUTH_URL for its Keystone');
  }
  const from = urlOf('--from', options.from ?? (await keystone?.imageEndpoint()));
  const parallel = parallelOf(options.parallel);
  const source = new ImageApi({ side: 'Glance', url: from, tokens, authorities });
  const target = new ImageApi({ side: 'Darkroom', url: to, tokens: toTokens, authorities });
  const report = openReport(options.report, source.url, target.url);

  const began = performance.now();
  const seconds = (): number => (performance.now() - began) / 1000;
  let shownAt = 0;
  try {
    await migrate({
      source,
      target,
      report,
      parallel,
      selection: {
        ids: options.image ?? [],
        owners: options.owner ?? [],
        visibilities: options.visibility ?? [],
      },
      keepsOwners: options['into-own-project'] !== true,
      isDryRun: options['dry-run'] === true,
      onProgress(progress) {
        if (stderr.isTTY === true && performance.now() - shownAt >= progressMs) {
          shownAt = performance.now();
          stderr.write(progressLine(progress, seconds()));
        }
      },
    });
  } finally {
    stderr.write(shownAt > 0 ? '\r\u001B[K' : '');
  }
  stdout.write(summaryOf(report.entries, seconds()));
  return isComplete(report.entries) ? 0 : 1;
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      strict: true,
      options: {
        from: { type: 'string' },
        to: { type: 'string' },
        'token-file': { type: 'string' },
        'same-token': { type: 'boolean' },
        'into-own-project': { type: 'boolean' },
        image: { type: 'string', multiple: true },
        owner: { type: 'string', multiple: true },
        visibility: { type: 'string', multiple: true },
        parallel: { type: 'string' },
        report: { type: 'string' },
        'dry-run': { type: 'boolean' },
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function urlOf(name: string, text: string | undefined): string {
  const url = text === undefined ? null : URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.username !== '') {
    throw new UsageError(
      `${name} has to be a URL such as http://glance.example.com:9292, ${text === undefined ? 'and is missing' : `not ${JSON.stringify(text)}`}`,
    );
  }
  return url.href;
}

function parallelOf(text = '2'): number {
  if (!/^[1-9]\d?$/.test(text)) {
    throw new UsageError(`--parallel has to be from 1 to 99, not ${JSON.stringify(text)}`);
  }
  return Number(text);
}

/** What cannot be a report is told before anything is copied. */
function openReport(path: string | undefined, from: string, to: string): MigrationReport {
  try {
    const report = new MigrationReport(path, from, to);
    report.write();
    return report;
  } catch (error) {
    throw error instanceof ReportFileError ? new UsageError(error.message) : error;
  }
}

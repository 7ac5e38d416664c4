import { ImageApi } from '../migration/image-api.ts';
import { migrate } from '../migration/migration.ts';
import { MigrationReport, ReportFileError } from '../migration/migration-report.ts';
import type { CommandContext } from './command-context.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import {
  keystoneSession,
  sourceTokens,
  targetTokens,
  trustedAuthorities,
} from './migrate-login.ts';
import { isComplete, progressLine, summaryOf } from './migrate-summary.ts';
import { UsageError } from './usage-error.ts';

/** What `darkroom migrate-from-glance` is told. */
export interface MigrateOptions {
  readonly to: string;
  readonly from?: string;
  readonly tokenFile?: string;
  readonly sameToken?: boolean;
  readonly intoOwnProject?: boolean;
  readonly image?: readonly string[];
  readonly owner?: readonly string[];
  readonly visibility?: readonly string[];
  readonly parallel: number;
  readonly report?: string;
  readonly dryRun?: boolean;
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
  { environment, out, notes }: CommandContext,
  options: MigrateOptions,
): Promise<ExitCode> {
  const keystone = keystoneSession(environment);
  const tokens = sourceTokens(environment, keystone);
  const authorities = trustedAuthorities(environment);
  const toTokens = targetTokens(
    environment,
    options.tokenFile,
    options.sameToken === true ? tokens : undefined,
  );
  const to = urlOf('--to', options.to);
  if (options.from === undefined && keystone === undefined) {
    throw new UsageError('say where Glance is: --from <url>, or OS_AUTH_URL for its Keystone');
  }
  const from = urlOf('--from', options.from ?? (await keystone?.imageEndpoint()));
  const { parallel } = options;
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
      keepsOwners: options.intoOwnProject !== true,
      isDryRun: options.dryRun === true,
      onProgress(progress) {
        if (notes.isTerminal && performance.now() - shownAt >= progressMs) {
          shownAt = performance.now();
          notes.write(progressLine(progress, seconds()));
        }
      },
    });
  } finally {
    notes.write(shownAt > 0 ? '\r\u001B[K' : '');
  }
  out.write(summaryOf(report.entries, seconds()));
  return isComplete(report.entries) ? exitCodes.done : exitCodes.failed;
}

function urlOf(name: string, text: string | undefined): string {
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : undefined;
  if (
    url === undefined ||
    !/^https?:$/.test(url.protocol) ||
    url.search !== '' ||
    url.username !== ''
  ) {
    throw new UsageError(
      `${name} has to be a URL such as http://glance.example.com:9292, ${text === undefined ? 'and is missing' : `not ${JSON.stringify(text)}`}`,
    );
  }
  return url.href;
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

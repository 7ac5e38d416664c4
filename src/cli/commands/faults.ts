import { CodeSchema } from '../../../gen/google/rpc/code_pb.ts';
import { FaultSchema, Fault_Origin, type Fault } from '../../client/contract.ts';
import { Code } from '../../client/contract.ts';
import type { DarkroomClient } from '../../client/exports.ts';
import { enumValue } from '../choices.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { matchingImages, oneImage } from '../finding/find-image.ts';
import { findTask } from '../finding/find-task.ts';
import { bytesText, timeText } from '../output/amounts.ts';
import { recordFormat, recordText, recordsText } from '../output/record-format.ts';
import type { Style } from '../output/screen.ts';
import { shownText } from '../output/shown-text.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';
import { UsageError } from '../usage-error.ts';
import { enumWord } from '../words/image-words.ts';
import { faultRemedy } from '../words/remedies.ts';
import { dateOf } from '../words/task-words.ts';
import { PhaseSchema } from '../../client/contract.ts';
import { CommandFailure } from '../command-failure.ts';
import { exitCodes } from '../exit-codes.ts';

/** What `darkroom fault` may be told. */
export interface FaultOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly format?: string;
  readonly limit: number;
  readonly report?: string;
  readonly message?: string;
  readonly code: string;
  readonly detail?: string;
  readonly survived?: boolean;
}

/**
 * Tells the faults of a task or of an image, or those of the project, newest first; or reports one on a task, as the producer of
 * its bytes.
 */
export async function faults(
  context: CommandContext,
  text: string | undefined,
  options: FaultOptions,
): Promise<void> {
  const { report, message, detail, survived } = options;
  if (report !== undefined) {
    return reportFault(context, text, report, options);
  }
  if (message !== undefined || detail !== undefined || survived !== undefined) {
    throw new UsageError(
      '--message, --detail and --survived say what is reported, and go with --report',
    );
  }
  const format = recordFormat(FaultSchema, options);
  const { out, notes } = context;
  const found = await withClient(context, options, (client) =>
    readFaults(client, text, options.limit, context.signal),
  );
  if (format !== undefined) {
    out.write(recordsText(format, FaultSchema, found));
  } else if (found.length === 0) {
    notes.line('There are no faults.');
  } else {
    out.write(found.map((fault) => faultReport(fault, out.style).join('\n')).join('\n\n'));
    out.line();
  }
}

async function readFaults(
  client: Pick<DarkroomClient, 'images' | 'tasks'>,
  text: string | undefined,
  limit: number,
  signal: AbortSignal,
): Promise<readonly Fault[]> {
  const of = text === undefined ? { case: undefined } : await whose(client, text, signal);
  const found: Fault[] = [];
  let pageToken = '';
  do {
    const pageSize = Math.min(1000, limit - found.length);
    const page = await client.tasks.listFaults({ of, pageSize, pageToken }, { signal });
    found.push(...page.faults);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && found.length < limit);
  return found;
}

/** An image's faults are those of all its tasks. */
async function whose(
  client: Pick<DarkroomClient, 'images' | 'tasks'>,
  text: string,
  signal: AbortSignal,
): Promise<{ readonly case: 'imageId' | 'taskId'; readonly value: string }> {
  const image = oneImage(text, await matchingImages(client, text, signal));
  return image === undefined
    ? { case: 'taskId', value: (await findTask(client, text, signal)).id }
    : { case: 'imageId', value: image.id };
}

async function reportFault(
  context: CommandContext,
  text: string | undefined,
  reason: string,
  options: FaultOptions,
): Promise<void> {
  const format = recordFormat(FaultSchema, options);
  const { out, signal } = context;
  const { message, detail = '', survived = false } = options;
  if (text === undefined) {
    throw new UsageError('say on which task it is reported');
  }
  if (message === undefined) {
    throw new UsageError('--message is missing: what went wrong, for whoever waits for the image');
  }
  const { task, fault } = await withClient(context, options, async (client) => {
    const { id: taskId } = await findTask(client, text, signal);
    const code = enumValue(Code, options.code);
    const fatal = !survived;
    return client.tasks.reportFault({ taskId, code, reason, message, detail, fatal }, { signal });
  });
  if (fault === undefined || task === undefined) {
    throw new CommandFailure(exitCodes.failed, 'the service has answered without the fault');
  }
  if (format !== undefined) {
    out.write(recordText(format, FaultSchema, fault));
    return;
  }
  out.line(
    fault.fatal
      ? `Reported ${fault.reason}: ${task.id} has failed. To try again: darkroom retry ${task.id}`
      : `Reported ${fault.reason}: ${task.id} goes on.`,
  );
}

/** All of a fault, as a person wants to read it. */
function faultReport(fault: Fault, style: Style): string[] {
  const date = dateOf(fault.createTime);
  const remedy = faultRemedy(fault.reason);
  const who =
    fault.origin === Fault_Origin.PRODUCER
      ? 'its producer'
      : `the service on ${shownText(fault.host) || 'a host without a name'}`;
  const colour = fault.fatal ? style.bad : style.warn;
  const rows: (readonly [string, string])[] = [
    ['says', shownText(fault.message)],
    ...(fault.detail === '' ? [] : [['cause', shownText(fault.detail)] as const]),
    ['when', date === undefined ? '' : timeText(date)],
    [
      'where',
      `${enumWord(PhaseSchema, fault.phase)}, with ${bytesText(fault.offset)} stored, attempt ${fault.attempt}`,
    ],
    ['noticed by', who],
    ['code', enumWord(CodeSchema, fault.code)],
    ['task', fault.taskId],
    ['image', fault.imageId],
    ['fault', fault.id],
    ...(remedy === undefined ? [] : [['do', remedy] as const]),
  ];
  const end = fault.fatal ? 'ended its task' : 'survived';
  const again = fault.retryable
    ? 'may succeed when tried again'
    : 'fails again unless something changes';
  return [
    `${colour(fault.reason)}: ${end}; ${again}`,
    ...rows.map(([name, value]) => `  ${style.dim(name.padEnd(10))}  ${value}`),
  ];
}

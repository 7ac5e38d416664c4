import { ImageSchema, Image_Outlook, type Image, type Task } from '../../client/contract.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { findImage } from '../finding/find-image.ts';
import { ageText, bytesText, timeText } from '../output/amounts.ts';
import { recordFormat, recordText } from '../output/record-format.ts';
import type { Screen } from '../output/screen.ts';
import { shownText } from '../output/shown-text.ts';
import { tableLines, type Column } from '../output/table.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';
import {
  containerFormatWord,
  diskFormatWord,
  imageStanding,
  imageTitle,
  visibilityWord,
} from '../words/image-words.ts';
import { dateOf, progressText, stateCell, typeWord } from '../words/task-words.ts';
import { faultRemedy } from '../words/remedies.ts';

/** What `darkroom image` may be told. */
export interface ShowImageOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly format?: string;
}

/** Tells all of an image, and of its tasks the newest ten. */
export async function showImage(
  context: CommandContext,
  text: string,
  options: ShowImageOptions,
): Promise<void> {
  const format = recordFormat(ImageSchema, options);
  const { out, signal } = context;
  const { image, tasks } = await withClient(context, options, async (client) => {
    const found = await findImage(client, text, signal);
    // Of another project's image nobody is told the tasks.
    const isOwn = format === undefined && found.latestTask !== '';
    const filter = { imageId: found.id };
    const list = isOwn
      ? await client.tasks.listTasks({ filter, pageSize: 10 }, { signal })
      : undefined;
    return { image: found, tasks: list?.tasks ?? [] };
  });
  out.write(
    format === undefined
      ? imageReport(image, tasks, out, new Date())
          .map((line) => `${line}\n`)
          .join('')
      : recordText(format, ImageSchema, image),
  );
}

/** An image as people want to read it. */
export function imageReport(
  image: Image,
  tasks: readonly Task[],
  screen: Screen,
  now: Date,
): string[] {
  const { style } = screen;
  const { text, style: colour = (same: string) => same } = imageStanding(image, style);
  const rows = factsOf(image);
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = [
    `${style.bold(shownText(imageTitle(image)))}: ${colour(text)}`,
    '',
    ...rows.map(([name, value]) => `  ${style.dim(name.padEnd(width))}  ${value}`),
  ];
  const properties = Object.entries(image.properties).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (properties.length > 0) {
    lines.push(
      '',
      style.bold('Its properties'),
      ...properties.map(([key, value]) => `  ${shownText(key)} = ${shownText(value)}`),
    );
  }
  const fault = image.lastFault;
  if (fault !== undefined && image.outlook === Image_Outlook.NOT_COMING) {
    const remedy = faultRemedy(fault.reason);
    lines.push(
      '',
      style.bold('Why it is not coming'),
      `  ${style.bad(fault.reason)} at ${bytesText(fault.offset)}: ${shownText(fault.message)}`,
      ...(remedy === undefined ? [] : [`  ${remedy}`]),
      `  darkroom task ${fault.taskId}`,
    );
  }
  if (tasks.length > 0) {
    lines.push(
      '',
      style.bold('Its tasks'),
      ...tasksTable(tasks, screen, now).map((line) => `  ${line}`),
    );
  }
  return lines;
}

function factsOf(image: Image): (readonly [string, string])[] {
  const facts: (readonly [string, string | undefined])[] = [
    ['id', image.id],
    ['project', shownText(image.projectId)],
    ['format', `${diskFormatWord(image)}, in ${containerFormatWord(image)}`],
    ['size', image.sizeBytes === undefined ? undefined : exactBytes(image.sizeBytes)],
    ['disk', image.virtualSizeBytes === undefined ? undefined : exactBytes(image.virtualSizeBytes)],
    ['sha256', image.sha256 || undefined],
    [
      'came as',
      image.packedFormat === undefined
        ? undefined
        : `${image.packedFormat}, ${exactBytes(image.packedSizeBytes ?? 0n)}, sha256 ${image.packedSha256 ?? ''}`,
    ],
    ['needs', needsOf(image)],
    ['visibility', visibilityWord(image)],
    ['is', flagsOf(image)],
    ['tags', image.tags.length === 0 ? undefined : shownText(image.tags.join(', '))],
    ['made', timeOf(image.createTime)],
    ['changed', timeOf(image.updateTime)],
    ['deleted', timeOf(image.deleteTime)],
  ];
  return facts.flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
}

const timeOf = (time: Image['createTime']): string | undefined => {
  const date = dateOf(time);
  return date === undefined ? undefined : timeText(date);
};

function exactBytes(bytes: bigint): string {
  return bytes < 1024n ? bytesText(bytes) : `${bytesText(bytes)} (${bytes} bytes)`;
}

function needsOf({ minDiskBytes, minRamBytes }: Image): string | undefined {
  const needs = [
    ...(minDiskBytes > 0n ? [`a disk of ${bytesText(minDiskBytes)}`] : []),
    ...(minRamBytes > 0n ? [`${bytesText(minRamBytes)} of memory`] : []),
  ];
  return needs.length === 0 ? undefined : needs.join(', ');
}

function flagsOf(image: Image): string | undefined {
  const flags = (['protected', 'hidden', 'deactivated'] as const).filter((flag) => image[flag]);
  return flags.length === 0 ? undefined : flags.join(', ');
}

function tasksTable(tasks: readonly Task[], screen: Screen, now: Date): string[] {
  const columns: Column<Task>[] = [
    { title: 'TASK', cell: ({ id }) => ({ text: id, style: screen.style.accent }) },
    { title: 'TYPE', cell: typeWord },
    { title: 'STATE', cell: ({ state }) => stateCell(state, screen.style) },
    { title: 'BYTES', cell: ({ progress }) => progressText(progress) },
    { title: 'FAULTS', cell: ({ faultCount }) => String(faultCount), align: 'right' },
    {
      title: 'AGE',
      cell: ({ createTime }) => ageText(dateOf(createTime) ?? now, now),
      align: 'right',
    },
  ];
  return tableLines(columns, tasks, screen);
}

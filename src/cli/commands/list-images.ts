import {
  ImageOrder,
  ImageSchema,
  Image_DiskFormat,
  Image_Outlook,
  Image_State,
  Image_Visibility,
  type Image,
} from '../../client/contract.ts';
import type { DarkroomClient } from '../../client/exports.ts';
import { enumValue, type imageOrders } from '../choices.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { shortened } from '../finding/id-text.ts';
import { ageText, bytesText } from '../output/amounts.ts';
import { recordFormat, recordsText } from '../output/record-format.ts';
import { tableLines, type Column } from '../output/table.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';
import { diskFormatWord, imageStanding, visibilityWord } from '../words/image-words.ts';
import { dateOf } from '../words/task-words.ts';

/** What `darkroom images` may be told. */
export interface ListImagesOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly format?: string;
  readonly wide?: boolean;
  readonly state?: readonly string[];
  readonly outlook?: readonly string[];
  readonly diskFormat?: readonly string[];
  readonly visibility?: readonly string[];
  readonly tag?: readonly string[];
  readonly property?: Readonly<Record<string, string>>;
  readonly owner?: string;
  readonly hidden?: boolean;
  readonly sort: (typeof imageOrders)[number];
  readonly limit: number;
}

const orders = {
  newest: ImageOrder.CREATE_TIME_DESC,
  oldest: ImageOrder.CREATE_TIME_ASC,
  updated: ImageOrder.UPDATE_TIME_DESC,
  name: ImageOrder.NAME_ASC,
  size: ImageOrder.SIZE_DESC,
} as const;

/** Lists images. @param prefix with which their names begin */
export async function listImages(
  context: CommandContext,
  prefix: string | undefined,
  options: ListImagesOptions,
): Promise<void> {
  const format = recordFormat(ImageSchema, options);
  const { out, notes, signal } = context;
  const { images, isMore } = await withClient(context, options, (client) =>
    read(client, prefix, options, signal),
  );
  if (format !== undefined) {
    out.write(recordsText(format, ImageSchema, images));
  } else if (images.length === 0) {
    notes.line('There are no such images. darkroom upload FILE makes one.');
  } else {
    const isShort = options.wide !== true && out.isTerminal;
    for (const line of tableLines(columnsFor(images, isShort, context), images, out)) {
      out.line(line);
    }
  }
  if (isMore) {
    notes.line(
      `There are more than these ${images.length}: --limit ${options.limit * 10} shows more.`,
    );
  }
}

async function read(
  client: Pick<DarkroomClient, 'images'>,
  prefix: string | undefined,
  options: ListImagesOptions,
  signal: AbortSignal,
): Promise<{ readonly images: readonly Image[]; readonly isMore: boolean }> {
  const filter = {
    states: (options.state ?? []).map((word) => enumValue(Image_State, word)),
    outlooks: (options.outlook ?? []).map((word) => enumValue(Image_Outlook, word)),
    diskFormats: (options.diskFormat ?? []).map((word) => enumValue(Image_DiskFormat, word)),
    visibilities: (options.visibility ?? []).map((word) => enumValue(Image_Visibility, word)),
    tags: [...(options.tag ?? [])],
    properties: { ...options.property },
    ...(prefix === undefined ? {} : { namePrefix: prefix }),
    ...(options.owner === undefined ? {} : { projectId: options.owner }),
    ...(options.hidden === true ? { hidden: true } : {}),
  };
  const images: Image[] = [];
  let pageToken = '';
  do {
    const pageSize = Math.min(1000, options.limit - images.length);
    const page = await client.images.listImages(
      { filter, orderBy: orders[options.sort], pageSize, pageToken },
      { signal },
    );
    images.push(...page.images);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && images.length < options.limit);
  return { images, isMore: pageToken !== '' };
}

function columnsFor(
  images: readonly Image[],
  isShort: boolean,
  { out: { style } }: CommandContext,
): Column<Image>[] {
  const now = new Date();
  const ids = shortened(images.map(({ id }) => id));
  const wide: Column<Image>[] = isShort
    ? []
    : [
        { title: 'VISIBILITY', cell: visibilityWord },
        { title: 'PROJECT', cell: ({ projectId }) => projectId },
        { title: 'SHA256', cell: ({ sha256 }) => sha256 || '-' },
      ];
  return [
    {
      title: 'ID',
      cell: ({ id }) => ({ text: isShort ? (ids.get(id) ?? id) : id, style: style.accent }),
    },
    { title: 'NAME', cell: ({ name }) => name || '-', shrinksTo: 8 },
    { title: 'STATE', cell: (image) => imageStanding(image, style) },
    { title: 'FORMAT', cell: diskFormatWord },
    {
      title: 'SIZE',
      cell: ({ sizeBytes }) => (sizeBytes === undefined ? '-' : bytesText(sizeBytes)),
      align: 'right',
    },
    {
      title: 'AGE',
      cell: ({ createTime }) => ageText(dateOf(createTime) ?? now, now),
      align: 'right',
    },
    ...wide,
    {
      title: 'LAST FAULT',
      cell: ({ lastFault }) => ({ text: lastFault?.reason ?? '', style: style.warn }),
      shrinksTo: 10,
    },
  ];
}

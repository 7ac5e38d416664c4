import type { MessageInitShape } from '@bufbuild/protobuf';
import { Image_Outlook } from '../../../gen/darkroom/v1/image_pb.ts';
import {
  ImageOrder,
  type ListImagesRequestSchema,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import { diskFormats, visibilities } from '../words/image-words.ts';

/** What of the images the reader wants to see, by the words of the address. */
export interface ImageQuery {
  readonly search: string;
  readonly outlook: string;
  readonly format: string;
  readonly visibility: string;
  readonly order: string;
  readonly page: string;
}

/** Outlooks by their words in the address. */
export const outlooks: ReadonlyMap<string, Image_Outlook> = new Map([
  ['available', Image_Outlook.AVAILABLE],
  ['coming', Image_Outlook.EXPECTED],
  ['not-coming', Image_Outlook.NOT_COMING],
]);

/** Orders by their words in the address. */
export const orders: ReadonlyMap<string, readonly [order: ImageOrder, text: string]> = new Map([
  ['newest', [ImageOrder.CREATE_TIME_DESC, 'Newest first']],
  ['changed', [ImageOrder.UPDATE_TIME_DESC, 'Last changed']],
  ['name', [ImageOrder.NAME_ASC, 'By name']],
  ['size', [ImageOrder.SIZE_DESC, 'Largest first']],
] as const);

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** How many images a page has. */
export const imagesPerPage = 50;

/** Reads an address. What it does not know counts as not said. */
export function imageQueryOf(query: URLSearchParams): ImageQuery {
  const word = (name: string, known: Iterable<string>): string => {
    const given = query.get(name) ?? '';
    return [...known].includes(given) ? given : '';
  };
  return {
    search: (query.get('q') ?? '').slice(0, 255),
    outlook: word('outlook', outlooks.keys()),
    format: word('format', diskFormats.values()),
    visibility: word(
      'visibility',
      [...visibilities.values()].map(([name]) => name),
    ),
    order: word('order', orders.keys()),
    page: query.get('page') ?? '',
  };
}

/** Whether the query leaves anything out. */
export function isNarrowed({ search, outlook, format, visibility }: ImageQuery): boolean {
  return [search, outlook, format, visibility].some((word) => word !== '');
}

/** What the service is asked for. */
export function listRequest(query: ImageQuery): MessageInitShape<typeof ListImagesRequestSchema> {
  const { search, page } = query;
  const outlook = outlooks.get(query.outlook);
  const format = keyOf(diskFormats, (text) => text === query.format);
  const visibility = keyOf(visibilities, ([text]) => text === query.visibility);
  return {
    filter: {
      outlooks: outlook === undefined ? [] : [outlook],
      diskFormats: format === undefined ? [] : [format],
      visibilities: visibility === undefined ? [] : [visibility],
      ...(uuid.test(search) ? { ids: [search] } : search === '' ? {} : { namePrefix: search }),
    },
    orderBy: orders.get(query.order)?.[0] ?? ImageOrder.CREATE_TIME_DESC,
    pageSize: imagesPerPage,
    pageToken: page,
  };
}

function keyOf<K, V>(map: ReadonlyMap<K, V>, fits: (value: V) => boolean): K | undefined {
  return [...map].find(([, value]) => fits(value))?.[0];
}

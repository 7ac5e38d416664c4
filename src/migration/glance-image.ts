import { z } from 'zod';

/** An image as the Image API tells it; what is no field of Glance's is a property. */
export const imageShape = z.looseObject({
  id: z.string(),
  name: z.string().nullish(),
  status: z.string(),
  size: z.number().nullish(),
  checksum: z.string().nullish(),
  os_hash_algo: z.string().nullish(),
  os_hash_value: z.string().nullish(),
  visibility: z.string(),
  owner: z.string().nullish(),
  tags: z.array(z.string()).default([]),
});

export type GlanceImage = z.infer<typeof imageShape>;

/** The fields that are copied as they are. */
const copied = [
  'name',
  'disk_format',
  'container_format',
  'visibility',
  'min_disk',
  'min_ram',
  'protected',
  'os_hidden',
  'tags',
] as const;

/** What each service says of an image by itself. */
const told = new Set(
  (
    'id status size virtual_size checksum os_hash_algo os_hash_value owner created_at updated_at self file schema ' +
    'direct_url locations stores deleted deleted_at'
  ).split(' '),
);

/** What is made of an image of Glance's. */
export interface CopiedFields {
  /** What the new image is to have, as the API takes it. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Properties that the new image cannot have. */
  readonly leftOut: readonly string[];
}

/** The fields and properties that an image is to have that is made from one of Glance's. */
export function copiedFields(image: GlanceImage): CopiedFields {
  const fields: Record<string, unknown> = {};
  const leftOut: string[] = [];
  for (const [name, value] of Object.entries(image)) {
    if (copied.some((field) => field === name)) {
      fields[name] = value;
    } else if (!told.has(name)) {
      const isForeign = /^(os_glance|os_darkroom_|packed_)/.test(name);
      if (isForeign || typeof value !== 'string') {
        leftOut.push(name);
      } else {
        fields[name] = value;
      }
    }
  }
  return { fields, leftOut };
}

/** The names of what two images do not have in common, of that which is copied. */
export function differences(image: GlanceImage, other: GlanceImage): string[] {
  const [one, two] = [copiedFields(image).fields, copiedFields(other).fields];
  const names = new Set([...Object.keys(one), ...Object.keys(two)]);
  return [...names].filter((name) => comparable(one[name]) !== comparable(two[name])).sort();
}

function comparable(value: unknown): string {
  // No name is an empty one, and tags have no order.
  return JSON.stringify(
    Array.isArray(value)
      ? value.map(String).toSorted((one, other) => (one < other ? -1 : 1))
      : (value ?? ''),
  );
}

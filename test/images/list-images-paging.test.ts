import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { newId, type ImageId } from '../../src/records/ids.ts';
import { imageOrders, type ImageOrder } from '../../src/images/image-order.ts';
import type { Image } from '../../src/records/image.ts';
import { alice, listOf, useImages, storeImages, type StoredImage } from './images-world.ts';

const openImages = useImages();

// Few different values, so that many rows tie and ids decide.
const storedImage = fc.record({
  name: fc.constantFrom('a', 'B', 'b', 'é', '\uFFFD', '\u{1F600}'),
  state: fc.constantFrom('QUEUED', 'ACTIVE', 'DELETED'),
  createTime: fc.constantFrom(new Date(1_700_000_000_000), new Date(1_700_000_000_001)),
  updateTime: fc.constantFrom(new Date(1_700_000_000_002), new Date(1_700_000_000_003)),
}) satisfies fc.Arbitrary<StoredImage>;

// A size changes nothing about an image that is not ACTIVE, but for its place in SIZE_DESC.
const sized: fc.Arbitrary<StoredImage> = fc
  .tuple(storedImage, fc.constantFrom({}, { sizeBytes: 0 }, { sizeBytes: 7 }))
  .map(([image, size]) => Object.assign({}, image, size));

/** What happens between two pages; `at` picks one of the images that may change. */
const disturbance = fc.oneof(
  fc.record({ kind: fc.constant('insert' as const), image: sized }),
  fc.record({ kind: fc.constantFrom('rename', 'touch', 'resize', 'delete'), at: fc.nat() }),
);

const compare: Record<ImageOrder, (a: Image, b: Image) => number> = {
  CREATE_TIME_DESC: (a, b) => +b.createTime - +a.createTime || byText(b.id, a.id),
  CREATE_TIME_ASC: (a, b) => +a.createTime - +b.createTime || byText(a.id, b.id),
  UPDATE_TIME_DESC: (a, b) => +b.updateTime - +a.updateTime || byText(b.id, a.id),
  NAME_ASC: (a, b) => byText(a.name, b.name) || byText(a.id, b.id),
  SIZE_DESC: (a, b) => (b.sizeBytes ?? -1) - (a.sizeBytes ?? -1) || byText(b.id, a.id),
};

function byText(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

async function disturb(database: Database, id: ImageId, kind: string): Promise<void> {
  const changes: Record<string, string> = {
    rename: `name = name || 'x', update_time = now()`,
    touch: `update_time = now()`,
    resize: `size_bytes = coalesce(size_bytes, 3) * 2`,
    delete: `state = 'DELETED', outlook = 'NOT_COMING', blob_id = null, delete_time = now()`,
  };
  await database.pool.query(`update images set ${changes[kind]} where id = $1`, [id]);
}

test.each(imageOrders)(
  'while rows come, change and go, %s shows each stable row just once, in order',
  async (order) => {
    const { database, images } = openImages();
    await fc.assert(
      fc.asyncProperty(
        fc.array(sized, { maxLength: 14 }),
        fc.array(sized, { minLength: 1, maxLength: 5 }),
        fc.array(fc.array(disturbance, { maxLength: 2 }), { maxLength: 10 }),
        fc.integer({ min: 1, max: 4 }),
        async (stable, changing, disturbances, pageSize) => {
          const caller = { ...alice, projectId: newId<ImageId>() };
          const ids = await storeImages(database, [...stable, ...changing], caller);
          const stableIds = new Set(ids.slice(0, stable.length));
          const mutable = ids.slice(stable.length);

          const seen: Image[] = [];
          let pageToken = '';
          for (let page = 0; page === 0 || pageToken !== ''; page++) {
            expect(page).toBeLessThan(100);
            const found = await images.listImages(
              caller,
              listOf({ states: ['QUEUED', 'ACTIVE', 'DELETED'] }, { order, pageSize, pageToken }),
            );
            seen.push(...found.rows.map(({ image }) => image));
            pageToken = found.nextPageToken;
            for (const change of disturbances[page] ?? []) {
              if (change.kind === 'insert') {
                await storeImages(database, [change.image], caller);
              } else {
                const id = mutable[change.at % mutable.length];
                await disturb(database, id ?? newId(), change.kind);
              }
            }
          }

          const rows = seen.filter(({ id }) => stableIds.has(id));
          expect(rows.map(({ id }) => id).sort()).toEqual([...stableIds].sort());
          expect(rows).toEqual([...rows].sort(compare[order]));
        },
      ),
      { numRuns: 12 },
    );
  },
);

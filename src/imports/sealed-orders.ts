import { z } from 'zod';
import type { Database } from '../database/database.ts';
import type { ImageId } from '../records/ids.ts';
import type { ImportOrder } from '../records/import-order.ts';
import type { SecretKeys } from '../secrets/secret-keys.ts';

/** What of an order may be secret: the address, for its query, and the headers. */
export type OrderSecrets = Pick<ImportOrder, 'url' | 'headers'>;

/** What stands in the column of the address while that is sealed: no address, and not null as an image's. */
const sealedUrl = 'sealed:';

const secretsSchema = z.object({ url: z.string(), headers: z.record(z.string(), z.string()) });

/** The columns of an order's secrets: sealed, where there are any. */
export function sealOrder(
  keys: SecretKeys,
  imageId: ImageId,
  { url, headers }: OrderSecrets,
): OrderSecrets & { readonly sealed: string | null } {
  return url === null || url === undefined
    ? { url, headers, sealed: null }
    : {
        url: sealedUrl,
        headers: {},
        sealed: keys.seal(JSON.stringify({ url, headers }), placeOf(imageId)),
      };
}

/** An order's secrets as they were sent, though another process has sealed them by a key that has just come. @throws as `openOrder` */
export async function openOrderOfAny(keys: SecretKeys, order: ImportOrder): Promise<OrderSecrets> {
  if (typeof order.sealed === 'string') {
    await keys.seekKeyOf(order.sealed);
  }
  return openOrder(keys, order);
}

/** An order's secrets as they were sent. @throws DarkroomError SECRETS_UNREADABLE */
function openOrder(keys: SecretKeys, order: ImportOrder): OrderSecrets {
  const { imageId, url, headers, sealed } = order;
  return typeof sealed === 'string'
    ? secretsSchema.parse(JSON.parse(keys.open(sealed, placeOf(imageId))))
    : { url, headers };
}

/**
 * Seals what an earlier version wrote as it was sent, and seals anew what another key has sealed than the first one of now.
 * What cannot be opened stays as it is.
 *
 * @returns how many were sealed.
 * @throws the driver's errors.
 */
export async function sealOrdersAnew(database: Database, keys: SecretKeys): Promise<number> {
  const { rows } = await database.pool.query<{
    image_id: ImageId;
    url: string;
    headers: Record<string, string>;
    sealed: string | null;
  }>(
    `select image_id, url, headers, sealed from import_orders
      where url is not null and (sealed is null or not starts_with(sealed, $1))`,
    [keys.currentPrefix],
  );
  let count = 0;
  for (const { image_id: imageId, url, headers, sealed } of rows) {
    const secrets = trying(() => openOrder(keys, { imageId, url, headers, sealed } as ImportOrder));
    if (secrets) {
      const anew = sealOrder(keys, imageId, secrets);
      const { rowCount } = await database.pool.query(
        `update import_orders set url = $2, headers = $3, sealed = $4
          where image_id = $1 and sealed is not distinct from $5`,
        [imageId, anew.url, anew.headers, anew.sealed, sealed],
      );
      count += rowCount ?? 0;
    }
  }
  return count;
}

function trying<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

function placeOf(imageId: ImageId): string {
  return `import_orders/${imageId}`;
}

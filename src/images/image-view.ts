import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../database/database.ts';
import { rowsById } from '../database/rows-by-id.ts';
import { Fault } from '../records/fault.ts';
import { findLastFaults, readLastFaults } from '../tasks/reading/last-faults.ts';
import type { Image } from '../records/image.ts';

/** An image as it is told: with the newest fault of its tasks, unless that was pruned. */
export interface ImageView {
  readonly image: Readonly<Image>;
  readonly lastFault: Readonly<Fault> | undefined;
}

/** Images that no unit of work has with their newest faults, in the same order. */
export async function readImageViews(
  database: Database,
  images: readonly Readonly<Image>[],
): Promise<readonly ImageView[]> {
  const faults = await readLastFaults(database, images);
  return images.map((image) => ({
    image,
    lastFault: image.lastFaultId ? faults.get(image.lastFaultId) : undefined,
  }));
}

/** An image with its newest fault. */
export async function viewImage(em: EntityManager, image: Image): Promise<ImageView> {
  const faults = await findLastFaults(em, [image]);
  return { image, lastFault: image.lastFaultId ? faults.get(image.lastFaultId) : undefined };
}

/** The same of an image that no unit of work has. */
export async function readImageView(
  database: Database,
  image: Readonly<Image>,
): Promise<ImageView> {
  const { lastFaultId } = image;
  return {
    image,
    lastFault: lastFaultId ? await rowsById(database, Fault).read(lastFaultId) : undefined,
  };
}

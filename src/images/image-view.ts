import type { EntityManager } from '@mikro-orm/postgresql';
import type { Caller } from '../access/caller.ts';
import { ownFaults } from '../access/find-fault.ts';
import { isOwn, visibleProject } from '../access/rights.ts';
import type { Database } from '../database/database.ts';
import type { Fault } from '../records/fault.ts';
import { findLastFaults, readLastFaults } from '../tasks/reading/last-faults.ts';
import type { Image } from '../records/image.ts';

/** An image as it is told: with the newest fault of its tasks, unless that was pruned, or is not for the caller. */
export interface ImageView {
  readonly image: Readonly<Image>;
  readonly lastFault: Readonly<Fault> | undefined;
}

/** Images that no unit of work has with their newest faults, in the same order, as a caller may see them. */
export async function readImageViews(
  database: Database,
  caller: Caller,
  images: readonly Readonly<Image>[],
): Promise<readonly ImageView[]> {
  const own = images.filter((image) => isOwn(caller, image));
  const faults = await readLastFaults(database, caller, own);
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

/** The same of an image that no unit of work has, as a caller may see it. */
export async function readImageView(
  database: Database,
  caller: Caller,
  image: Readonly<Image>,
): Promise<ImageView> {
  const lastFaultId = isOwn(caller, image) ? image.lastFaultId : undefined;
  return {
    image,
    lastFault: lastFaultId
      ? await ownFaults(database).read(visibleProject(caller), lastFaultId)
      : undefined,
  };
}

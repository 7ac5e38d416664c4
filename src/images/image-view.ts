import type { EntityManager } from '@mikro-orm/postgresql';
import type { FaultId } from '../records/ids.ts';
import { Fault } from '../records/fault.ts';
import type { Image } from '../records/image.ts';

/** An image as it is told: with the newest fault of its tasks, unless that was pruned. */
export interface ImageView {
  readonly image: Image;
  readonly lastFault: Fault | undefined;
}

/** The newest faults of images and tasks, read in one query; those that were pruned are not there. */
export async function readLastFaults(
  em: EntityManager,
  rows: readonly { readonly lastFaultId?: FaultId | null | undefined }[],
): Promise<ReadonlyMap<FaultId, Fault>> {
  const ids = new Set(rows.flatMap((row) => row.lastFaultId ?? []));
  const faults = ids.size === 0 ? [] : await em.find(Fault, { id: { $in: [...ids] } });
  return new Map(faults.map((fault) => [fault.id, fault]));
}

/** Images with their newest faults, in the same order. */
export async function viewImages(
  em: EntityManager,
  images: readonly Image[],
): Promise<readonly ImageView[]> {
  const faults = await readLastFaults(em, images);
  return images.map((image) => ({
    image,
    lastFault: image.lastFaultId ? faults.get(image.lastFaultId) : undefined,
  }));
}

/** An image with its newest fault. */
export async function viewImage(em: EntityManager, image: Image): Promise<ImageView> {
  const faults = await readLastFaults(em, [image]);
  return { image, lastFault: image.lastFaultId ? faults.get(image.lastFaultId) : undefined };
}

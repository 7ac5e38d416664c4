import type { HttpRoute } from '../http/http-endpoints.ts';
import { actForOwner } from './act-for-owner.ts';
import { imageActionPlaces } from './image-action-places.ts';
import { imageFilePlaces, type ImageFilePlacesParts } from './image-file-places.ts';
import { imageMemberPlaces, type ImageMemberPlacesParts } from './image-member-places.ts';
import { imagePlaces, type ImagePlacesParts } from './image-places.ts';
import { importPlaces, type ImportPlacesParts } from './import-places.ts';
import { infoPlaces, type InfoPlacesParts } from './info-places.ts';
import { imageTagPlaces } from './image-tag-places.ts';
import { entryPlaces, type EntryPlacesParts } from './metadefs/entry-places.ts';
import { namespacePlaces, type NamespacePlacesParts } from './metadefs/namespace-places.ts';
import { routesOf } from './place.ts';
import { schemaPlaces } from './schema-places.ts';
import { taskPlaces, type TaskPlacesParts } from './task-places.ts';
import { versionPlaces } from './version-places.ts';

/** What OpenStack's Image API needs of the service. */
export type RestParts = ImagePlacesParts &
  ImageFilePlacesParts &
  ImportPlacesParts &
  InfoPlacesParts &
  ImageMemberPlacesParts &
  NamespacePlacesParts &
  EntryPlacesParts &
  TaskPlacesParts;

/**
 * OpenStack's Image API, version 2, over the same images and tasks as the contract. It translates, and decides
 * nothing.
 */
export function restRoutes(parts: RestParts): readonly HttpRoute[] {
  return routesOf(
    [
      ...versionPlaces,
      ...taskPlaces(parts),
      ...imagePlaces(parts),
      ...imageFilePlaces(parts),
      ...importPlaces(parts),
      ...infoPlaces(parts),
      ...imageTagPlaces(parts),
      ...imageMemberPlaces(parts),
      ...imageActionPlaces(parts),
      ...namespacePlaces(parts),
      ...entryPlaces(parts),
      ...schemaPlaces,
    ],
    (call, path) => actForOwner(parts.database, call, path),
  );
}

import type { CopyFromRequest } from '../imports/copy-from-request.ts';
import type { ImageSort } from './image-order.ts';
import type { ImageStanding } from './image-standing.ts';

/**
 * What callers ask of images, as they sent it: nothing is checked yet. Numbers may be out of range or
 * NaN, dates invalid, and words any text.
 */

/** The fields of an image that its caller sets and may change later. */
export interface ImageFields {
  /** Empty for none. */
  readonly name: string;
  /** Undefined for one that is not known yet. */
  readonly diskFormat: string | undefined;
  /** Undefined stands, at creation with a disk format, for BARE; else, as null, for one that is not known yet. */
  readonly containerFormat: string | null | undefined;
  readonly minDiskBytes: number;
  readonly minRamBytes: number;
  readonly properties: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  /** Undefined stands for PRIVATE. */
  readonly visibility: string | undefined;
  /** Whether it must not be deleted. */
  readonly protected: boolean;
  /** Whether lists leave it out, unless they are asked for such images. */
  readonly hidden: boolean;
}

/** Where an image's bytes come from. */
export type ImageSource =
  | {
      readonly kind: 'upload';
      readonly totalSize: number | undefined;
      readonly sha256: string | undefined;
      /** Whether the bytes are compressed, and the image is what is inside; not if it is not set. */
      readonly decompress?: boolean;
    }
  | {
      readonly kind: 'snapshot';
      readonly totalSize: number | undefined;
      readonly sha256: string | undefined;
      readonly decompress?: boolean;
      readonly labels: Readonly<Record<string, string>>;
    }
  | CopyFromRequest;

/** What CreateImage is asked. */
export interface CreateImageRequest {
  readonly image: ImageFields;
  /** The id that it is to have; empty for one that the service makes. */
  readonly imageId: string;
  /** The project that is to own it; empty for the caller's. */
  readonly projectId: string;
  readonly source: ImageSource | undefined;
  /** Empty for none. */
  readonly requestId: string;
  /** ms; undefined for the service's default. */
  readonly idleTimeoutMs: number | undefined;
}

/** Which images a list shows: those that agree with all that is set; an empty list sets nothing. */
export interface ImageFilter {
  readonly states: readonly string[];
  readonly outlooks: readonly string[];
  readonly ids: readonly string[];
  readonly name: string | undefined;
  /** Besides `name`. */
  readonly names: readonly string[];
  readonly namePrefix: string | undefined;
  readonly diskFormats: readonly string[];
  readonly containerFormats: readonly string[];
  readonly visibilities: readonly string[];
  readonly tags: readonly string[];
  readonly properties: Readonly<Record<string, string>>;
  readonly createdAfter: Date | undefined;
  readonly createdBefore: Date | undefined;
  readonly updatedAfter: Date | undefined;
  readonly updatedBefore: Date | undefined;
  /** Not created, and not last changed, from the first time up to but without the second. */
  readonly createdOutside?: readonly [Date, Date] | undefined;
  readonly updatedOutside?: readonly [Date, Date] | undefined;
  readonly minSizeBytes: number | undefined;
  readonly maxSizeBytes: number | undefined;
  /** Of what a machine must have at least, in bytes: from the first number up to but without the second. */
  readonly minDiskBytes?: readonly [number, number] | undefined;
  readonly minRamBytes?: readonly [number, number] | undefined;
  /** Undefined for all that the caller may see. */
  readonly projectId: string | undefined;
  /** Of images that are shared with the caller's project: where its membership is in one of these. */
  readonly memberStatuses: readonly string[];
  /** Undefined for those that are not. */
  readonly hidden: boolean | undefined;
  /** Undefined for both. */
  readonly protected: boolean | undefined;
  /** Undefined for both. */
  readonly deactivated: boolean | undefined;
  /** Where the image and its newest task are together; see image-standing.ts. */
  readonly standings?: readonly ImageStanding[] | undefined;
  /** Lower-case hex. */
  readonly sha256?: string | undefined;
}

/** The filter that all images match: what a list is asked, unless it says otherwise. */
export const allImages: ImageFilter = {
  states: [],
  outlooks: [],
  ids: [],
  name: undefined,
  names: [],
  namePrefix: undefined,
  diskFormats: [],
  containerFormats: [],
  visibilities: [],
  tags: [],
  properties: {},
  createdAfter: undefined,
  createdBefore: undefined,
  updatedAfter: undefined,
  updatedBefore: undefined,
  minSizeBytes: undefined,
  maxSizeBytes: undefined,
  projectId: undefined,
  memberStatuses: [],
  hidden: undefined,
  protected: undefined,
  deactivated: undefined,
};

/** What ListImages is asked. */
export interface ListImagesRequest {
  readonly filter: ImageFilter;
  /** A word of the contract's, or keys; undefined stands for CREATE_TIME_DESC. */
  readonly order: string | readonly ImageSort[] | undefined;
  readonly pageSize: number;
  readonly pageToken: string;
  /** Without a token, the image after which the page begins; undefined for the first page. */
  readonly after?: string | undefined;
}

/** What UpdateImage is asked. */
export interface UpdateImageRequest {
  readonly imageId: string;
  /** Empty to change the image as it is. */
  readonly etag: string;
  /** Paths of the fields that change, in snake_case. */
  readonly paths: readonly string[];
  readonly values: ImageFields & { readonly deactivated: boolean; readonly projectId: string };
}

/** What DeleteImage is asked. */
export interface DeleteImageRequest {
  readonly imageId: string;
  /** Empty to delete the image as it is. */
  readonly etag: string;
}

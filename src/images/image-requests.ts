import type { CopyFromRequest } from '../imports/copy-from-request.ts';

/**
 * What callers ask of images, as they sent it: nothing is checked yet. Numbers may be out of range or
 * NaN, dates invalid, and words any text.
 */

/** The fields of an image that its caller sets and may change later. */
export interface ImageFields {
  readonly name: string;
  readonly minDiskBytes: number;
  readonly minRamBytes: number;
  readonly properties: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  /** Undefined stands for PRIVATE. */
  readonly visibility: string | undefined;
  /** Whether it must not be deleted. */
  readonly protected: boolean;
}

/** An image that is to be made. */
export interface NewImageFields extends ImageFields {
  readonly diskFormat: string | undefined;
  /** Undefined stands for BARE. */
  readonly containerFormat: string | undefined;
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
  readonly image: NewImageFields;
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
  readonly name: string | undefined;
  readonly namePrefix: string | undefined;
  readonly diskFormats: readonly string[];
  readonly visibilities: readonly string[];
  readonly tags: readonly string[];
  readonly properties: Readonly<Record<string, string>>;
  readonly createdAfter: Date | undefined;
  readonly createdBefore: Date | undefined;
  readonly minSizeBytes: number | undefined;
  readonly maxSizeBytes: number | undefined;
  /** Undefined for all that the caller may see. */
  readonly projectId: string | undefined;
  /** Of images that are shared with the caller's project: where its membership is in one of these. */
  readonly memberStatuses: readonly string[];
}

/** What ListImages is asked. */
export interface ListImagesRequest {
  readonly filter: ImageFilter;
  /** Undefined stands for CREATE_TIME_DESC. */
  readonly order: string | undefined;
  readonly pageSize: number;
  readonly pageToken: string;
}

/** What UpdateImage is asked. */
export interface UpdateImageRequest {
  readonly imageId: string;
  /** Empty to change the image as it is. */
  readonly etag: string;
  /** Paths of the fields that change, in snake_case. */
  readonly paths: readonly string[];
  readonly values: ImageFields;
}

/** What DeleteImage is asked. */
export interface DeleteImageRequest {
  readonly imageId: string;
  /** Empty to delete the image as it is. */
  readonly etag: string;
}

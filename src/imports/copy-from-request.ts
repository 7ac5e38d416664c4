/**
 * What the service is asked to fetch, as its caller sent it: nothing is checked yet. Numbers may be out of
 * range or NaN.
 */
export interface CopyFromRequest {
  readonly kind: 'copy_from';
  readonly from:
    | { readonly kind: 'url'; readonly url: string }
    | { readonly kind: 'image'; readonly imageId: string }
    | undefined;
  readonly totalSize: number | undefined;
  readonly sha256: string | undefined;
  readonly sha512: string | undefined;
  readonly maxSizeBytes: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Whether the bytes are compressed, and the image is what is inside; not if it is not set. */
  readonly decompress?: boolean;
}

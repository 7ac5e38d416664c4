import { invalidField } from '../../../domain/darkroom-error.ts';
import { quoted } from '../../../domain/quoted.ts';
import type { StatedWhole } from '../../../uploads/receiving/upload-body.ts';
import { isHttp2, type NodeRequest } from '../../transport/node-http.ts';
import { RestError } from '../rest-error.ts';
import { contentRange, type ContentRange } from './content-range.ts';
import { digestsIn, type StatedDigests } from './digest-fields.ts';
import { storeId } from './store.ts';

/** What a request with an image's bytes says of them. */
export interface UploadHeaders {
  readonly stated: StatedWhole;
  /** Set where it brings a part, and says which. */
  readonly range: ContentRange | undefined;
  /** Bytes of the body; undefined where it does not say. */
  readonly length: number | undefined;
}

const type = 'application/octet-stream';
const sizeHeader = 'x-openstack-image-size';
const noDigests: StatedDigests = { sha256: undefined, sha512: undefined };

/**
 * Reads the headers of a request with an image's bytes.
 *
 * @throws DarkroomError UNSUPPORTED (415) for another content type or an encoding; FIELD_INVALID for what cannot be read, and
 *   where two headers contradict each other.
 */
export function uploadHeaders(request: NodeRequest): UploadHeaders {
  requireType(request);
  requireStore(textOf(request, 'x-image-meta-store'));
  const range = readRange(request);
  const length = sizeIn('content-length', textOf(request, 'content-length'));
  if (range !== undefined && length !== undefined && length !== range.length) {
    throw invalidField(
      'content-length',
      `is ${length}, and content-range tells of ${range.length} bytes`,
    );
  }
  const told = sizeIn(sizeHeader, textOf(request, sizeHeader));
  const total = range === undefined ? length : range.total;
  if (told !== undefined && total !== undefined && told !== total) {
    throw invalidField(sizeHeader, `is ${told}, and the image that is sent has ${total} bytes`);
  }
  return {
    stated: { size: told ?? total, ...readDigests(request, range) },
    range,
    length: range === undefined ? length : range.length,
  };
}

/**
 * The sha256 that a client states after the last byte, in a trailer.
 *
 * @throws DarkroomError FIELD_INVALID, for a sha-512 alone too: it would have had to be known before.
 */
export function sha256InTrailers(request: NodeRequest): string | undefined {
  const field = request.trailers['repr-digest'] ?? request.trailers['content-digest'];
  if (typeof field !== 'string') {
    return undefined;
  }
  const { sha256 } = digestsIn('repr-digest', field);
  if (sha256 === undefined) {
    throw invalidField('repr-digest', 'must have a sha-256 where it comes after the bytes');
  }
  return sha256;
}

/** Whether a request ends by a mark of its own, and not after a length that was said before. */
export function isOfUnknownLength(request: NodeRequest): boolean {
  return request.headers['content-length'] === undefined;
}

/** Whether a client that seems to have ended its request well has cancelled it just then. */
export function isReset(request: NodeRequest): boolean {
  return isHttp2(request)
    ? request.stream.aborted || request.stream.destroyed || request.stream.rstCode !== 0
    : request.destroyed && !request.complete;
}

function readRange(request: NodeRequest): ContentRange | undefined {
  const field = textOf(request, 'content-range');
  return field === undefined ? undefined : contentRange(field);
}

function readDigests(request: NodeRequest, range: ContentRange | undefined): StatedDigests {
  const ofContent = textOf(request, 'content-digest');
  if (ofContent !== undefined && range !== undefined) {
    throw invalidField(
      'content-digest',
      'is not checked for a part of an image; state that of the whole in repr-digest, with any part',
    );
  }
  const ofWhole = textOf(request, 'repr-digest');
  const first = ofWhole === undefined ? noDigests : digestsIn('repr-digest', ofWhole);
  const second = ofContent === undefined ? noDigests : digestsIn('content-digest', ofContent);
  for (const algorithm of ['sha256', 'sha512'] as const) {
    const [one, other] = [first[algorithm], second[algorithm]];
    if (one !== undefined && other !== undefined && one !== other) {
      throw invalidField('content-digest', `has another ${algorithm} than repr-digest`);
    }
  }
  return { sha256: first.sha256 ?? second.sha256, sha512: first.sha512 ?? second.sha512 };
}

function sizeIn(name: string, field: string | undefined): number | undefined {
  if (field === undefined) {
    return undefined;
  }
  const size = Number(field);
  if (!/^\d{1,16}$/.test(field) || !Number.isSafeInteger(size)) {
    throw invalidField(name, `must be 0 or more bytes, below 2^53, not ${quoted(field)}`);
  }
  return size;
}

function requireType(request: NodeRequest): void {
  const [given = ''] = (request.headers['content-type'] ?? '').split(';');
  const stated = given.trim().toLowerCase();
  if (stated !== '' && stated !== type) {
    throw new RestError(
      415,
      'UNSUPPORTED',
      `The content type ${quoted(stated)} is not taken here; send the image's bytes as ${type}.`,
    );
  }
  const encoding = textOf(request, 'content-encoding') ?? 'identity';
  if (encoding !== 'identity') {
    throw new RestError(
      415,
      'UNSUPPORTED',
      `The content encoding ${quoted(encoding)} is not taken here; send the image's bytes as they are.`,
    );
  }
}

function requireStore(store: string | undefined): void {
  if (store !== undefined && store !== storeId) {
    throw invalidField(
      'x-image-meta-store',
      `names the store ${quoted(store)}, and there is only ${storeId}`,
    );
  }
}

function textOf(request: NodeRequest, name: string): string | undefined {
  const field = request.headers[name];
  return Array.isArray(field) ? field.join(', ') : field;
}

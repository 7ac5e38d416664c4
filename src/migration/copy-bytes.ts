import { setTimeout as sleep } from 'node:timers/promises';
import { RestartDelay } from '../domain/restart-delay.ts';
import { ApiFailure, isPassing, SourceDiffersError } from './api-failure.ts';
import { imageShape, type GlanceImage } from './glance-image.ts';
import type { ImageApi } from './image-api.ts';
import {
  compareDigests,
  digestField,
  SourceDigests,
  statedDigest,
  type WholeDigests,
} from './source-digests.ts';
import { SourceReader } from './source-reader.ts';

/** What it takes to copy the bytes of one image. */
export interface CopyBytesParts {
  readonly source: ImageApi;
  /** Called for the image's project. */
  readonly target: ImageApi;
  /** Told of bytes that were sent. */
  readonly onSent: (bytes: number) => void;
}

/** How it is known that the new image has the bytes of Glance's. */
export type Verified =
  /** All bytes passed by here, and agree with Glance's digests. */
  | 'as streamed'
  /** Darkroom has computed the digest that Glance states. */
  | 'by Darkroom'
  /** Glance states no digest that can be computed: the size agrees, and nothing was lost on the way. */
  | 'by size';

/** An image whose bytes are there now. */
export interface CopiedBytes {
  readonly verified: Verified;
  /** Known where all bytes passed by here. */
  readonly digests: WholeDigests | undefined;
}

/** So often an upload is begun anew that does not get further, which takes some 50 s. */
const maxFailures = 10;
/** Bytes may be altered on their way from Glance; who sends others twice has others. */
const maxLies = 2;

/**
 * Copies the bytes of an image that is queued in Darkroom, from where its upload stands, and goes on whenever something
 * breaks. The last byte is sent only when all of them agree with what Glance says; until then no image is active.
 *
 * @param size bytes, as Glance says.
 * @throws ApiFailure, SourceDiffersError; an Error with a code, of a network that stays broken.
 */
export async function copyBytes(
  parts: CopyBytesParts,
  image: GlanceImage,
  size: number,
): Promise<CopiedBytes> {
  let delay = new RestartDelay();
  let failures = 0;
  let lies = 0;
  let furthest = -1;
  const attempt = new BytesCopy(parts, image, size);
  for (;;) {
    try {
      return await attempt.run();
    } catch (error) {
      if (isLie(error)) {
        lies += 1;
        await attempt.giveUpBytes(error);
        if (lies === maxLies) {
          throw error;
        }
      } else if (!isPassing(error)) {
        throw error;
      }
      if (attempt.offset > furthest) {
        furthest = attempt.offset;
        failures = 0;
        delay = new RestartDelay();
      }
      failures += 1;
      if (failures > maxFailures) {
        throw error;
      }
      await sleep(delay.next(0));
    }
  }
}

function isLie(error: unknown): error is Error {
  return (
    error instanceof SourceDiffersError ||
    (error instanceof ApiFailure && error.reason === 'DIGEST_MISMATCH')
  );
}

class BytesCopy {
  /** Where the upload stood when it was asked for last. */
  offset = 0;
  readonly #parts: CopyBytesParts;
  readonly #image: GlanceImage;
  readonly #size: number;
  readonly #file: string;
  /** Of the whole image, once all of it has passed by here and was found right. */
  #found: { readonly digests: WholeDigests; readonly verified: Verified } | undefined;
  #task: string | undefined;
  /** Whether what was sent is given up, though Darkroom still tells how much it was. */
  #beginsAnew = false;

  constructor(parts: CopyBytesParts, image: GlanceImage, size: number) {
    this.#parts = parts;
    this.#image = image;
    this.#size = size;
    this.#file = `/v2/images/${image.id}/file`;
  }

  /** Copies what is missing. */
  async run(): Promise<CopiedBytes> {
    const { target, source } = this.#parts;
    const there = imageShape.parse((await target.ask('GET', `/v2/images/${this.#image.id}`)).body);
    if (there.status !== 'active') {
      const { headers } = await target.ask('HEAD', this.#file);
      const offset = headers['upload-offset'];
      if (offset === undefined) {
        // Who does not know of offsets would take a part of the image for all of it.
        throw new Error(`${target.url} does not say how far the upload of the image is`);
      }
      this.offset = this.#beginsAnew ? 0 : Number(offset);
      this.#beginsAnew = false;
      this.#task = /<\/v2\/tasks\/([^>]+)>/.exec(headers.link?.toString() ?? '')?.[1];
      await this.#copyFrom(this.offset, source);
    }
    return this.#confirmed();
  }

  /**
   * Tells Darkroom that what it was sent is wrong, so that the next attempt begins with the first byte. What has failed there
   * for the same reason knows it already.
   */
  async giveUpBytes({ message }: Error): Promise<void> {
    if (this.#task !== undefined) {
      this.#beginsAnew = true;
      const fault = {
        task_id: this.#task,
        code: 'DATA_LOSS',
        reason: 'DIGEST_MISMATCH',
        message: message.slice(0, 1000),
        fatal: true,
      };
      await this.#parts.target
        .ask('POST', '/darkroom.v1.TaskService/ReportFault', fault)
        .catch((error: unknown) => {
          if (!(error instanceof ApiFailure) || error.isPassing) {
            throw error;
          }
        });
    }
  }

  async #copyFrom(offset: number, source: ImageApi): Promise<void> {
    const { target, onSent } = this.#parts;
    const [size, last] = [this.#size, this.#size - 1];
    const stated = statedDigest(this.#image);
    // What is not read again cannot be digested here, but Darkroom digests all of it anyway.
    const wantsRest = offset > 0 && stated !== undefined;
    const stream = await source.read(this.#file, wantsRest ? { range: `bytes=${offset}-` } : {});
    try {
      const isRest = stream.headers['content-range']?.startsWith(`bytes ${offset}-`) === true;
      const digests = isRest ? undefined : new SourceDigests(this.#image);
      const reader = new SourceReader(stream, isRest ? offset : 0, size, digests);
      const digest = stated === undefined ? {} : { 'repr-digest': stated };
      const bytes = counted(reader.bytesFrom(offset), onSent);
      if (offset < last) {
        const headers = rangeHeaders(offset, last, size);
        await target.put(this.#file, { ...headers, ...digest }, bytes);
      } else {
        await Array.fromAsync(bytes);
      }
      const finish = digests === undefined ? digest : this.#judge(digests);
      const headers = size === 0 ? emptyHeaders : rangeHeaders(Math.max(last, offset), size, size);
      await target.put(this.#file, { ...headers, ...finish }, counted(once(reader.held), onSent));
    } finally {
      stream.destroy();
    }
  }

  /** @returns what the end of the upload states. @throws SourceDiffersError */
  #judge(digests: SourceDigests): Record<string, string> {
    const whole = digests.digest();
    const { agree, differ } = compareDigests(whole, this.#image);
    if (differ.length > 0) {
      throw new SourceDiffersError(
        `Glance has sent other bytes than it says: their ${differ.join(' and ')} differs`,
      );
    }
    this.#found = { digests: whole, verified: agree.length > 0 ? 'as streamed' : 'by size' };
    const stated = statedDigest(this.#image);
    const own = digestField('sha-256', whole.sha256);
    return {
      'repr-digest': stated === undefined || stated === own ? own : `${stated}, ${own}`,
    };
  }

  /** Looks what Darkroom says of the image that is there now. */
  async #confirmed(): Promise<CopiedBytes> {
    const { body } = await this.#parts.target.ask('GET', `/v2/images/${this.#image.id}`);
    const { status, size, os_hash_value: sha256 } = imageShape.parse(body);
    const digests = this.#found?.digests;
    if (status !== 'active' || size !== this.#size || (digests && digests.sha256 !== sha256)) {
      throw new Error(
        `Darkroom has an image that is ${status}, of ${size} bytes, sha256 ${sha256}; sent were ${this.#size} bytes, ` +
          `sha256 ${digests?.sha256 ?? 'not known'}`,
      );
    }
    return { verified: this.#found?.verified ?? 'by Darkroom', digests };
  }
}

const emptyHeaders = { 'content-length': '0' };

/** Of bytes from an offset to one before `end`. */
function rangeHeaders(offset: number, end: number, size: number): Record<string, string> {
  const range = offset === end ? '*' : `${offset}-${end - 1}`;
  return {
    'content-range': `bytes ${range}/${size}`,
    'content-length': String(end - offset),
  };
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  onBytes: (count: number) => void,
): AsyncGenerator<Uint8Array, void> {
  for await (const chunk of bytes) {
    yield chunk;
    onBytes(chunk.byteLength);
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
  await Promise.resolve();
  if (bytes.byteLength > 0) {
    yield bytes;
  }
}

import { ApiFailure, SourceDiffersError } from './api-failure.ts';
import { compareBytes, stateOf } from './compare-bytes.ts';
import { copyBytes } from './copy-bytes.ts';
import { copyMembers } from './copy-members.ts';
import { copiedFields, differences, imageShape, type GlanceImage } from './glance-image.ts';
import type { ImageApi } from './image-api.ts';
import type { ReportEntry } from './migration-report.ts';

/** What it takes to copy images. */
export interface CopyImageParts {
  readonly source: ImageApi;
  readonly target: ImageApi;
  /** Whether each image is made for the project that owns it in Glance; else for that of the target's token. */
  readonly keepsOwners: boolean;
  /** Whether what can be done is only told. */
  readonly isDryRun: boolean;
  readonly earlier: (id: string) => ReportEntry | undefined;
  /** Told of bytes that were sent. */
  readonly onSent: (bytes: number) => void;
}

type Result = Pick<ReportEntry, 'outcome'> &
  Partial<Pick<ReportEntry, 'reason' | 'message' | 'verified' | 'sha256'>>;

/** Copies one image, with its members. What goes wrong is told in what it resolves with. */
export async function copyImage(parts: CopyImageParts, image: GlanceImage): Promise<ReportEntry> {
  const began = performance.now();
  const notes: string[] = [];
  let sent = 0;
  const onSent = (bytes: number): void => {
    sent += bytes;
    parts.onSent(bytes);
  };
  const result = await new ImageCopy({ ...parts, onSent }, image, notes).run().catch(failureOf);
  const { os_hash_algo: algorithm, os_hash_value: value } = image;
  return {
    id: image.id,
    name: image.name ?? null,
    status: image.status,
    ...result,
    notes,
    bytes: image.size ?? null,
    bytes_sent: sent,
    seconds: Math.round(performance.now() - began) / 1000,
    ...(algorithm && value && { digest: { algorithm, value } }),
    source_state: stateOf(image),
  };
}

function failureOf(error: unknown): Result {
  if (error instanceof ApiFailure) {
    const isRefusal = error.side === 'Darkroom' && error.status < 500 && !error.isPassing;
    const reason = error.reason ?? `${error.side.toUpperCase()}_${error.status}`;
    return {
      outcome: isRefusal && reason !== 'DIGEST_MISMATCH' ? 'refused' : 'failed',
      reason,
      message: error.message,
    };
  }
  const message = error instanceof Error ? error.message || String(error) : String(error);
  const reason = error instanceof SourceDiffersError ? 'SOURCE_DIFFERS' : 'BROKEN';
  return { outcome: 'failed', reason, message };
}

/** Statuses of Glance's in which the bytes are still to come. */
const comingSoon = new Set(['saving', 'uploading', 'importing']);

class ImageCopy {
  readonly #parts: CopyImageParts;
  readonly #image: GlanceImage;
  /** Called for the image's project. */
  readonly #target: ImageApi;
  readonly #path: string;
  readonly #notes: string[];

  constructor(parts: CopyImageParts, image: GlanceImage, notes: string[]) {
    this.#parts = parts;
    this.#image = image;
    this.#notes = notes;
    this.#target = parts.target.actingFor(
      parts.keepsOwners ? (image.owner ?? undefined) : undefined,
    );
    this.#path = `/v2/images/${image.id}`;
  }

  async run(): Promise<Result> {
    const { status, size } = this.#image;
    if (comingSoon.has(status)) {
      return {
        outcome: 'failed',
        reason: 'SOURCE_NOT_READY',
        message: `It is ${status} in Glance: run the command again when its bytes are there.`,
      };
    }
    if (status !== 'active' && status !== 'deactivated') {
      return { outcome: 'left out', message: `It is ${status} in Glance, and has no bytes there.` };
    }
    if (typeof size !== 'number') {
      return {
        outcome: 'failed',
        reason: 'SIZE_UNKNOWN',
        message: 'Glance does not say how many bytes it has.',
      };
    }
    const there = await this.#find();
    const hasBytes = there?.status === 'active' || there?.status === 'deactivated';
    if (this.#parts.isDryRun) {
      return hasBytes && there.size === size
        ? { outcome: 'there', verified: 'by size' }
        : { outcome: 'to copy' };
    }
    const result = hasBytes ? await this.#compare(there, size) : await this.#copy(there, size);
    if (result.outcome !== 'refused') {
      await this.#follow(there?.status);
    }
    return result;
  }

  /** The image in Darkroom; undefined where there is none yet. */
  async #find(): Promise<GlanceImage | undefined> {
    try {
      return imageShape.parse((await this.#target.ask('GET', this.#path)).body);
    } catch (error) {
      if (error instanceof ApiFailure && error.status === 404) {
        return undefined;
      }
      throw error;
    }
  }

  async #copy(there: GlanceImage | undefined, size: number): Promise<Result> {
    const { source, onSent, keepsOwners } = this.#parts;
    const { id, owner } = this.#image;
    const { fields, leftOut } = copiedFields(this.#image);
    if (leftOut.length > 0) {
      this.#notes.push(`properties left out: ${leftOut.join(', ')}`);
    }
    const made =
      there ??
      imageShape.parse((await this.#target.ask('POST', '/v2/images', { id, ...fields })).body);
    if (keepsOwners && owner && made.owner !== owner) {
      return {
        outcome: 'refused',
        reason: 'IMAGE_EXISTS',
        message: `Darkroom has an image of this id that belongs to project ${made.owner}, not ${owner}.`,
      };
    }
    if (owner && made.owner !== owner) {
      this.#notes.push(`its owner is ${made.owner}, and not ${owner}`);
    }
    this.#noteDifferences(made);
    const copied = await copyBytes({ source, target: this.#target, onSent }, this.#image, size);
    const sha256 = copied.digests?.sha256;
    return { outcome: 'copied', verified: copied.verified, ...(sha256 && { sha256 }) };
  }

  async #compare(there: GlanceImage, size: number): Promise<Result> {
    const refused = (what: string): Result => ({
      outcome: 'refused',
      reason: 'IMAGE_EXISTS',
      message: `Darkroom has an active image of this id with ${what}.`,
    });
    if (there.size !== size) {
      return refused(`${there.size} bytes, and not ${size}`);
    }
    this.#noteDifferences(there);
    const earlier = this.#parts.earlier(this.#image.id);
    const wasRight = earlier?.outcome === 'copied' || earlier?.outcome === 'there';
    const isAsThen =
      wasRight &&
      earlier.source_state === stateOf(this.#image) &&
      earlier.sha256 !== undefined &&
      earlier.sha256 === there.os_hash_value;
    if (isAsThen) {
      return { outcome: 'there', verified: 'by the earlier report', sha256: earlier.sha256 };
    }
    const comparison = await compareBytes(this.#target, this.#image);
    if (comparison.kind === 'other') {
      return refused(comparison.what);
    }
    const sha256 = there.os_hash_value;
    return { outcome: 'there', verified: comparison.verified, ...(sha256 && { sha256 }) };
  }

  #noteDifferences(there: GlanceImage): void {
    const different = differences(this.#image, there);
    if (different.length > 0) {
      this.#notes.push(`not as in Glance: ${different.join(', ')}`);
    }
  }

  /** What comes after the bytes. */
  async #follow(statusThere: string | undefined): Promise<void> {
    const { source } = this.#parts;
    if (this.#image.visibility === 'shared') {
      const { id: imageId } = this.#image;
      this.#notes.push(...(await copyMembers({ source, target: this.#target, imageId })));
    }
    if (this.#image.status === 'deactivated' && statusThere !== 'deactivated') {
      await this.#target.ask('POST', `${this.#path}/actions/deactivate`);
    }
  }
}

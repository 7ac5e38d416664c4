import { createWriteStream } from 'node:fs';
import { open, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import type { ClientCalls } from '../calls/client-calls.ts';
import type { Arithmetic, RunningDigest } from '../calls/platform.ts';
import { DownloadMeter } from './download-meter.ts';
import type { DownloadOptions, DownloadResult } from './download-options.ts';
import { downloadToStream, requireActive, requireSame, unwritable } from './download-to-stream.ts';
import { PartRecord, type Range } from './part-record.ts';
import { readImage } from './read-image.ts';

const defaultParallel = 4;
const rangeBytes = 64 * 1024 * 1024;
/** What is there is made durable and written down so often, in ms. */
const saveMs = 2_000;
const readBackBytes = 4 * 1024 * 1024;

/**
 * Writes an image to a file, by several ranges at the same time; holes stay holes. Until all is there and its digest agrees
 * it is `PATH.ID.part`, which another download of the image to the same path goes on with. What is there and no file, such
 * as a device or a pipe, is written in order.
 *
 * @throws DarkroomError DIGEST_MISMATCH (what came is removed), TARGET_UNWRITABLE; as readImage; the signal's reason
 */
export async function downloadToPath(
  calls: ClientCalls,
  arithmetic: Arithmetic,
  imageId: string,
  path: string,
  options: DownloadOptions = {},
): Promise<DownloadResult> {
  const place = await placeOf(path);
  if (place.kind === 'other') {
    const target = createWriteStream(path, { flags: 'r+' });
    return downloadToStream(calls, arithmetic, imageId, target, options);
  }
  const { image, sizeBytes } = await requireActive(calls, imageId, options.signal);
  const { sha256 } = image;
  const part = `${place.path}.${imageId}.part`;
  const record = await PartRecord.open(`${part}.json`, { imageId, sha256, sizeBytes });
  const file = await openPart(part, record, sizeBytes);
  let computed: string;
  const meter = new DownloadMeter(sizeBytes, options.onProgress, record.doneBytes);
  try {
    computed = await new FileDownload(
      calls,
      arithmetic,
      imageId,
      sizeBytes,
      file,
      record,
      meter,
      options,
    ).run();
    if (computed === sha256) {
      await file.sync().catch(refuse);
    }
  } finally {
    await file.close();
  }
  await record.remove();
  if (computed !== sha256) {
    await rm(part, { force: true });
  }
  requireSame(imageId, sha256, computed);
  await rename(part, place.path).catch(refuse);
  meter.step('done');
  return { sizeBytes, sha256, receivedBytes: meter.receivedBytes, holeBytes: meter.holeBytes };
}

function refuse(cause: unknown): never {
  throw unwritable(cause);
}

/** @throws DarkroomError TARGET_UNWRITABLE */
async function placeOf(
  path: string,
): Promise<{ readonly kind: 'file'; readonly path: string } | { readonly kind: 'other' }> {
  try {
    const real = await realpath(path);
    const there = await stat(real);
    if (there.isDirectory()) {
      return refuse(new Error(`${path} is a folder`));
    }
    return there.isFile() ? { kind: 'file', path: real } : { kind: 'other' };
  } catch (error) {
    return isAbsent(error) ? { kind: 'file', path } : refuse(error);
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

async function openPart(part: string, record: PartRecord, sizeBytes: number): Promise<FileHandle> {
  try {
    if (record.doneBytes > 0) {
      try {
        const file = await open(part, 'r+');
        if ((await file.stat()).size === sizeBytes) {
          return file;
        }
        await file.close();
      } catch (error) {
        if (!isAbsent(error)) {
          throw error;
        }
      }
      record.forget();
    }
    const file = await open(part, 'w+');
    await file.truncate(sizeBytes);
    return file;
  } catch (error) {
    return refuse(error);
  }
}

/** Fills one file. */
class FileDownload {
  readonly #calls: ClientCalls;
  readonly #imageId: string;
  readonly #sizeBytes: number;
  readonly #file: FileHandle;
  readonly #record: PartRecord;
  readonly #meter: DownloadMeter;
  readonly #options: DownloadOptions;
  readonly #digest: RunningDigest;
  readonly #end = new AbortController();
  #digested = 0;
  #wake = (): void => undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(
    calls: ClientCalls,
    arithmetic: Arithmetic,
    imageId: string,
    sizeBytes: number,
    file: FileHandle,
    record: PartRecord,
    meter: DownloadMeter,
    options: DownloadOptions,
  ) {
    this.#calls = calls;
    this.#imageId = imageId;
    this.#sizeBytes = sizeBytes;
    this.#file = file;
    this.#record = record;
    this.#meter = meter;
    this.#options = options;
    this.#digest = arithmetic.sha256();
  }

  /** Resolves with the sha256 of the whole file. */
  async run(): Promise<string> {
    const { signal, parallel = defaultParallel } = this.#options;
    const stop = (): void => this.#end.abort(signal?.reason);
    signal?.addEventListener('abort', stop);
    if (signal?.aborted === true) {
      stop();
    }
    const timer = setInterval(() => this.#save(), saveMs);
    const ranges = this.#record.missing(rangeBytes);
    const works = [
      this.#digestAll(),
      ...Array.from({ length: Math.max(1, parallel) }, () => this.#fill(ranges)),
    ];
    try {
      await Promise.all(works);
    } catch (error) {
      this.#end.abort(error);
      this.#wake();
      await Promise.allSettled(works);
      this.#save();
      throw error;
    } finally {
      clearInterval(timer);
      signal?.removeEventListener('abort', stop);
      await this.#saving;
    }
    return this.#digest.hex();
  }

  /** Fills ranges while there are some. */
  async #fill(ranges: Range[]): Promise<void> {
    for (let range = ranges.shift(); range !== undefined; range = ranges.shift()) {
      const [offset, to] = range;
      const parts = readImage(this.#calls, this.#imageId, {
        retry: this.#options.retry,
        offset,
        length: to - offset,
        signal: this.#end.signal,
        onConnection: (connection) => this.#meter.connection(connection),
      });
      for await (const part of parts) {
        let end: number;
        if (part.kind === 'data') {
          end = part.offset + part.data.length;
          await writeFully(this.#file, part.data, part.offset).catch(refuse);
        } else {
          end = part.offset + part.length;
        }
        this.#record.add([part.offset, end]);
        this.#meter.came(part);
        this.#wake();
      }
    }
  }

  /** Digests what there is from the beginning on, behind those who fill. */
  async #digestAll(): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(readBackBytes);
    while (this.#digested < this.#sizeBytes) {
      this.#end.signal.throwIfAborted();
      const there = this.#record.prefix - this.#digested;
      if (there === 0) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      const most = Math.min(there, buffer.length);
      const { bytesRead } = await this.#file.read(buffer, 0, most, this.#digested).catch(refuse);
      if (bytesRead === 0) {
        refuse(new Error('somebody has cut the file short'));
      }
      this.#digest.update(buffer.subarray(0, bytesRead));
      this.#digested += bytesRead;
    }
    this.#meter.step('checking');
  }

  #save(): void {
    this.#saving = this.#saving.then(async () => {
      try {
        const { done } = this.#record;
        await this.#file.datasync();
        await this.#record.save(done);
      } catch {
        // Then more is read again; that the file cannot be written is told by who writes to it.
      }
    });
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, offset + at);
    at += bytesWritten;
  }
}

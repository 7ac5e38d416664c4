import { quoted } from '../domain/quoted.ts';
import type { DiskFormat } from '../records/image.ts';
import { inspectCompressed } from './compressed.ts';
import { inspectDisk, requireSignature } from './disk.ts';
import type { ImageReader } from './image-reader.ts';
import { mismatch, Refusal, unsafe, type StatedDigest } from './inspection.ts';
import {
  readOvfDescriptor,
  type OvfDescriptor,
  type OvfDisk,
  type OvfFile,
} from './ovf-descriptor.ts';
import { readOvfManifest } from './ovf-manifest.ts';
import { inspectPart } from './part-of-image.ts';
import { signaturesIn } from './signatures.ts';
import { diskFormatOf } from './wrong-format.ts';
import { packAnew, tarEntries, type TarEntry } from './tar-archive.ts';

/** What an archive was found to be. */
export interface OvaFindings {
  /** Bytes of all its disks together; undefined unless all are known. */
  readonly virtualSize: number | undefined;
  /** What its manifest says of its files; none if not set. */
  readonly digests?: readonly StatedDigest[];
}

/** An OVA has a descriptor, a manifest, a certificate, and a few files. */
const maxHeaders = 128;
const maxDescriptorBytes = 512 * 1024;
const maxManifestBytes = 64 * 1024;
/** Of a disk that is compressed inside the archive. */
const packedHeadBytes = 256 * 1024;

/**
 * Inspects an OVA (DMTF DSP0243): a tar archive with an OVF descriptor first, and then the files that it
 * refers to, in its order. Each disk must be of the declared format, and no file may be unsafe.
 *
 * @throws Refusal; BytesMissing as long as it cannot be told.
 */
export async function inspectOva(diskFormat: DiskFormat, image: ImageReader): Promise<OvaFindings> {
  await requireSignature(image, new Set(['tar']));
  const archive = new OvaArchive(diskFormat, image);
  const entries = tarEntries(image, maxHeaders);
  for (;;) {
    const { value, done } = await entries.next();
    if (done !== true) {
      await archive.take(value);
    } else if (value) {
      return archive.conclude();
    } else {
      throw unsafe(
        'archive beyond reason',
        `its archive has more entries than any OVA needs. ${packAnew}`,
      );
    }
  }
}

/** What was seen of an archive's entries. */
class OvaArchive {
  readonly #diskFormat: DiskFormat;
  readonly #image: ImageReader;
  /** By their names in lower case, for not all systems tell them apart. */
  readonly #entries = new Map<string, TarEntry>();
  #descriptor: { readonly entry: TarEntry; readonly content: OvfDescriptor } | undefined;
  /** The place in the descriptor of the last file that it refers to. */
  #lastReference = -1;
  /** Virtual sizes by the ids of files. */
  readonly #sizes = new Map<string, number | undefined>();

  constructor(diskFormat: DiskFormat, image: ImageReader) {
    this.#diskFormat = diskFormat;
    this.#image = image;
  }

  async take(entry: TarEntry): Promise<void> {
    const { name, kind } = entry;
    if (kind === 'directory') {
      return;
    }
    if (kind !== 'file') {
      throw unsafe(
        kind,
        `its archive has the ${kind} ${quoted(name)}, and who unpacks it could be led to files of the host. ${packAnew}`,
      );
    }
    if (this.#find(name) !== undefined) {
      throw unsafe(
        'two files of one name',
        `its archive has two files of the name ${quoted(name)}, so that readers disagree about it. ${packAnew}`,
      );
    }
    this.#entries.set(name.toLowerCase(), entry);
    if (this.#descriptor === undefined) {
      this.#descriptor = { entry, content: await this.#readDescriptor(entry) };
    } else {
      await this.#inspectFile(entry, this.#descriptor.content);
    }
  }

  async conclude(): Promise<OvaFindings> {
    if (this.#descriptor === undefined) {
      throw noDescriptor('it has no file at all');
    }
    const { entry, content } = this.#descriptor;
    for (const { name } of content.files) {
      if (this.#find(name) === undefined) {
        throw missingFile('descriptor', name);
      }
    }
    const digests = await this.#readManifest(entry);
    return {
      virtualSize: this.#sizeOf(content.disks),
      ...(digests.length > 0 && { digests }),
    };
  }

  /** What a disk's own headers say counts, where they say it. */
  #sizeOf(disks: readonly OvfDisk[]): number | undefined {
    const sizes = disks.map(
      ({ fileId, capacity }) =>
        (fileId === undefined ? undefined : this.#sizes.get(fileId)) ?? capacity,
    );
    const known = sizes.filter((size) => size !== undefined);
    const sum = known.reduce((sum, size) => sum + size, 0);
    return disks.length > 0 && known.length === disks.length && Number.isSafeInteger(sum)
      ? sum
      : undefined;
  }

  #find(name: string): TarEntry | undefined {
    return this.#entries.get(name.toLowerCase());
  }

  async #readDescriptor(entry: TarEntry): Promise<OvfDescriptor> {
    if (!/\.ovf$/i.test(entry.name)) {
      throw noDescriptor(`its first file is ${quoted(entry.name)}`);
    }
    return readOvfDescriptor(await this.#readWhole(entry, maxDescriptorBytes));
  }

  async #inspectFile(entry: TarEntry, { files, disks }: OvfDescriptor): Promise<void> {
    const reference = files.findIndex(({ name }) => this.#find(name) === entry);
    const file = files[reference];
    if (file === undefined) {
      await this.#refuseUnsafeDisk(entry);
      return;
    }
    if (reference < this.#lastReference) {
      throw mismatch(
        'files out of order',
        `its file ${quoted(entry.name)} comes after one that its descriptor names later, so that it cannot be read as a stream. ${packAnew}`,
      );
    }
    this.#lastReference = reference;
    if (file.size !== undefined && file.size !== entry.size) {
      throw mismatch(
        'file of another size',
        `its file ${quoted(entry.name)} has ${entry.size} bytes, and its descriptor says ${file.size}. Export it again`,
      );
    }
    // One file may be several disks, and has several ids only where the descriptor names it twice.
    const ids = files.filter(({ name }) => this.#find(name) === entry).map(({ id }) => id);
    if (disks.some(({ fileId }) => fileId !== undefined && ids.includes(fileId))) {
      const size = await this.#inspectDisk(entry, file);
      for (const id of ids) {
        this.#sizes.set(id, size);
      }
    } else {
      await this.#refuseUnsafeDisk(entry);
    }
  }

  #inspectDisk(entry: TarEntry, { isCompressed }: OvfFile): Promise<number | undefined> {
    return inspectPart(this.#image, entry, `its disk ${quoted(entry.name)}`, (disk) =>
      isCompressed
        ? inspectCompressed({ diskFormat: this.#diskFormat }, disk, packedHeadBytes)
        : inspectDisk(this.#diskFormat, disk),
    );
  }

  /** A file that is not said to be a disk may still be opened as one. */
  async #refuseUnsafeDisk(entry: TarEntry): Promise<void> {
    await inspectPart(this.#image, entry, `its file ${quoted(entry.name)}`, async (file) => {
      const [found] = signaturesIn(await file.head());
      const diskFormat = found === undefined ? undefined : diskFormatOf(found);
      if (diskFormat !== undefined) {
        await inspectDisk(diskFormat, file).catch((thrown: unknown) => {
          if (!(thrown instanceof Refusal && thrown.reason === 'FORMAT_MISMATCH')) {
            throw thrown;
          }
        });
      }
    });
  }

  async #readManifest(descriptor: TarEntry): Promise<StatedDigest[]> {
    const manifest = this.#find(descriptor.name.replace(/\.ovf$/i, '.mf'));
    if (manifest === undefined) {
      return [];
    }
    const lines = readOvfManifest(await this.#readWhole(manifest, maxManifestBytes));
    return lines.map(({ name, algorithm, digest }) => {
      const entry = this.#find(name);
      if (entry === undefined) {
        throw missingFile('manifest', name);
      }
      const { offset, size } = entry;
      return { name: entry.name, offset, size, algorithm, digest };
    });
  }

  #readWhole(entry: TarEntry, maxBytes: number): Promise<Uint8Array> {
    if (entry.size > maxBytes) {
      throw unsafe(
        'descriptor beyond reason',
        `its file ${quoted(entry.name)} is larger than any that is needed. Export it again`,
      );
    }
    const place = `its file ${quoted(entry.name)}`;
    return inspectPart(this.#image, entry, place, (file) => file.read(0, entry.size));
  }
}

function noDescriptor(why: string): Refusal {
  return mismatch(
    'no descriptor',
    `its archive does not begin with an OVF descriptor: ${why}. ${packAnew}`,
  );
}

function missingFile(place: string, name: string): Refusal {
  return mismatch(
    'missing file',
    `its ${place} names the file ${quoted(name)}, which is not in the archive. ${packAnew}`,
  );
}

import { firstHidden } from '../domain/hidden-characters.ts';
import { quoted } from '../domain/quoted.ts';
import type { ImageReader } from './image-reader.ts';
import { mismatch, unsafe, type Refusal } from './inspection.ts';
import { paxValues } from './pax-records.ts';
import { readTarHeader, tarBlockBytes, type TarHeader } from './tar.ts';

/** What is looked at of headers that only say more about the next one, such as a long name. */
const maxExtensionBytes = 64 * 1024;

/** An entry of an archive. */
export interface TarEntry {
  /** As it is written, without `./` before it and `/` behind it. */
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'link' | 'device';
  /** Where its bytes begin in the archive. Only files have any. */
  readonly offset: number;
  readonly size: number;
}

/**
 * The entries of a tar archive in the formats ustar, pax and GNU's, one after the other while it comes.
 *
 * Refuses what readers could take for different archives, or write to another place than the one they unpack to.
 * A whole archive must have its end.
 *
 * @param maxHeaders how many headers are read; with more of them the archive is not followed to its end.
 * @returns whether it was followed to its end.
 * @throws Refusal; BytesMissing where the next header has not come yet.
 */
export async function* tarEntries(
  image: ImageReader,
  maxHeaders: number,
): AsyncGenerator<TarEntry, boolean, undefined> {
  let position = 0;
  let extension: Extension = {};
  for (let headers = 0; headers < maxHeaders; headers++) {
    const block = await image.read(position, tarBlockBytes);
    if (block.every((byte) => byte === 0)) {
      return true;
    }
    const header = readTarHeader(block);
    if (header === undefined) {
      throw damagedArchive();
    }
    const offset = position + tarBlockBytes;
    const isExtension = extensionTypes.has(header.type);
    const size = (isExtension ? undefined : extension.size) ?? header.size;
    const end = offset + size;
    if (!Number.isSafeInteger(end)) {
      throw unsafe(
        'entry size beyond reason',
        `an entry of its archive has a size beyond reason. ${packAnew}`,
      );
    }
    position = offset + Math.ceil(size / tarBlockBytes) * tarBlockBytes;
    if (isExtension) {
      Object.assign(extension, await readExtension(image, header, offset));
    } else {
      yield entryOf(header, extension, offset);
      extension = {};
    }
  }
  return false;
}

/** What to do about an archive that is not as it should be. */
export const packAnew =
  'Pack it anew: tar --format=ustar -cf new.ova, then the descriptor and the files in its order';

/** The refusal of an archive that cannot be read on. */
export function damagedArchive(): Refusal {
  return mismatch(
    'damaged tar',
    `its archive is damaged: where a header should be there is none, or its checksum is wrong. ${packAnew}`,
  );
}

/** What headers said before the one that they are about. */
interface Extension {
  name?: string;
  size?: number;
}

/** Those of pax for one file and for all, and those of GNU for a long name and a link's. */
const extensionTypes: ReadonlySet<string> = new Set(['x', 'g', 'L', 'K']);

async function readExtension(
  image: ImageReader,
  { type, size }: TarHeader,
  offset: number,
): Promise<Extension> {
  if (size > maxExtensionBytes) {
    throw unsafe(
      'header beyond reason',
      `a header of its archive is larger than any that is needed. ${packAnew}`,
    );
  }
  const bytes = Buffer.from(await image.read(offset, size));
  switch (type) {
    case 'L':
      return { name: bytes.toString().replace(/\0.*$/s, '') };
    case 'K':
      return {};
    default:
      return fromPax(bytes, type === 'g');
  }
}

function fromPax(bytes: Buffer, isGlobal: boolean): Extension {
  const values = paxValues(bytes);
  if (values === undefined) {
    throw damagedArchive();
  }
  if ([...values.keys()].some((key) => /^(?:GNU|SCHILY)\.(?:sparse|realsize)/.test(key))) {
    throw sparseFile();
  }
  const path = values.get('path');
  const size = values.get('size');
  if (isGlobal && (path !== undefined || size !== undefined)) {
    throw unsafe(
      'header for all entries',
      `its archive gives all its files one name or size, so that readers disagree about it. ${packAnew}`,
    );
  }
  if (size !== undefined && !/^\d{1,16}$/.test(size)) {
    throw damagedArchive();
  }
  return {
    ...(path !== undefined && { name: path }),
    ...(size !== undefined && { size: Number(size) }),
  };
}

function entryOf(header: TarHeader, extension: Extension, offset: number): TarEntry {
  const written = extension.name ?? header.name;
  const kind = kindOf(header.type, written.endsWith('/'));
  const name = written.replace(/^(?:\.\/+)+/, '').replace(/\/+$/, '');
  const size = extension.size ?? header.size;
  if (kind !== 'file' && size !== 0) {
    throw unsafe(
      `${kind} with bytes`,
      `its archive has a ${kind} with bytes of its own, so that readers disagree where the next entry is. ${packAnew}`,
    );
  }
  if ((name === '' && kind !== 'directory') || firstHidden(name) !== undefined) {
    throw unsafe(
      'file name',
      `a file of its archive has the name ${quoted(name)}, in which something does not show. ${packAnew}`,
    );
  }
  if (leadsOutside(name)) {
    throw unsafe(
      'path outside',
      `a file of its archive has the name ${quoted(name)}, and who unpacks it would write outside the folder. ${packAnew}`,
    );
  }
  return { name, kind, offset, size };
}

/** Whether a relative path may lead out of the folder it is relative to, on any system. */
export function leadsOutside(path: string): boolean {
  return /^(?:[/\\]|[a-z]:)/i.test(path) || path.split(/[/\\]/).includes('..');
}

/** By the type flags of POSIX.1-2017, pax, "ustar Interchange Format"; others are vendors'. */
function kindOf(type: string, isNamedAsFolder: boolean): TarEntry['kind'] {
  switch (type) {
    case '0':
    case '\0':
    case '7':
      return isNamedAsFolder ? 'directory' : 'file';
    case '5':
      return 'directory';
    case '1':
    case '2':
      return 'link';
    case '3':
    case '4':
    case '6':
      return 'device';
    case 'S':
      throw sparseFile();
    default:
      throw unsafe(
        'unknown kind of entry',
        `its archive has an entry of the kind ${quoted(type)}, which is not known. ${packAnew}`,
      );
  }
}

function sparseFile(): Refusal {
  return unsafe(
    'sparse file',
    `its archive has a file of which the zeros are left out, which most readers do not know. ${packAnew}`,
  );
}

import type { DiskFormat } from '../records/image.ts';
import { cutShort, mismatch, type Refusal } from './inspection.ts';
import { headBytes, type ImageReader } from './image-reader.ts';
import { isIso } from './iso.ts';
import { isAppleDriverMap } from './partition-table.ts';
import { documentIn, plainDocument } from './plain-document.ts';
import { compressedFormats, isBootSector, type HeadFormat } from './signatures.ts';

/** A format by the name under which it is found. */
export type FoundFormat = HeadFormat | 'iso' | 'raw' | 'nothing known';

/** How formats that can be declared are declared. */
const declarable: Partial<Record<FoundFormat, DiskFormat>> = {
  raw: 'RAW',
  qcow2: 'QCOW2',
  vmdk: 'VMDK',
  vhd: 'VHD',
  vhdx: 'VHDX',
  vdi: 'VDI',
  iso: 'ISO',
  parallels: 'PLOOP',
};

/** How a format that was found is declared; undefined if it cannot be. */
export function diskFormatOf(found: FoundFormat): DiskFormat | undefined {
  return declarable[found];
}

/** Whether what was found is a format that can be declared, by its name. */
export function isFormatName(found: string): boolean {
  return Object.hasOwn(declarable, found);
}

/** The refusal of bytes that are of another format, with what to do about it. */
export function wrongFormat(found: FoundFormat): Refusal {
  const diskFormat = declarable[found];
  const compressed: ReadonlySet<FoundFormat> = compressedFormats;
  if (found === 'nothing known') {
    return mismatch(
      found,
      'nothing known was found in its bytes. Check that this is the right file; if its bytes are those of a disk themselves, declare disk_format RAW and container_format BARE',
    );
  }
  if (found === 'raw') {
    return mismatch(
      found,
      'it begins with a boot sector, as raw disks do. Declare disk_format RAW and container_format BARE, or convert it with qemu-img convert -f raw',
    );
  }
  if (compressed.has(found)) {
    return mismatch(
      found,
      `its bytes are compressed with ${found}. Declare container_format COMPRESSED, or decompress it first`,
    );
  }
  if (found === 'tar') {
    return mismatch(
      found,
      'its bytes are a tar archive. Declare container_format OVA or DOCKER, or unpack it first',
    );
  }
  const declareIt =
    diskFormat === undefined
      ? 'That cannot be stored: convert it with qemu-img convert -O qcow2, and declare QCOW2'
      : `Declare disk_format ${diskFormat} and container_format BARE, or convert it with qemu-img convert`;
  return mismatch(found, `its bytes are ${found}. ${declareIt}`);
}

/**
 * The refusal of bytes whose start is none of the known formats.
 *
 * An ISO shows itself only after its system area, which is empty or begins as a disk does: for other
 * bytes nothing more is waited for.
 */
export async function unrecognised(image: ImageReader, head: Uint8Array): Promise<Refusal> {
  const document = documentIn(head);
  if (document !== undefined) {
    return plainDocument(document, head);
  }
  if (head.byteLength < headBytes) {
    return cutShort(head.byteLength, headBytes);
  }
  const isBoot = isBootSector(head);
  const mayBeIso = isBoot || isAppleDriverMap(head) || head.every((byte) => byte === 0);
  if (mayBeIso && (await isIso(image))) {
    return wrongFormat('iso');
  }
  return wrongFormat(isBoot ? 'raw' : 'nothing known');
}

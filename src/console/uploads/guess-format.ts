import { Image_ContainerFormat, Image_DiskFormat } from '../../../gen/darkroom/v1/image_pb.ts';

/** What a file seems to be. */
export interface Guess {
  readonly diskFormat: Image_DiskFormat;
  readonly containerFormat: Image_ContainerFormat;
  /** Whether it is compressed, and the image is what is inside. */
  readonly isCompressed: boolean;
  /** A name for the image. */
  readonly name: string;
}

const byEnding: ReadonlyMap<string, Image_DiskFormat> = new Map(
  Object.entries({
    qcow2: Image_DiskFormat.QCOW2,
    qcow: Image_DiskFormat.QCOW2,
    raw: Image_DiskFormat.RAW,
    img: Image_DiskFormat.RAW,
    bin: Image_DiskFormat.RAW,
    vmdk: Image_DiskFormat.VMDK,
    vdi: Image_DiskFormat.VDI,
    vhd: Image_DiskFormat.VHD,
    vpc: Image_DiskFormat.VHD,
    vhdx: Image_DiskFormat.VHDX,
    iso: Image_DiskFormat.ISO,
    hds: Image_DiskFormat.PLOOP,
    ploop: Image_DiskFormat.PLOOP,
    ova: Image_DiskFormat.VMDK,
  }),
);

const compressions = /\.(?:gz|xz|zst|bz2)$/i;

/** How many bytes of a file's beginning are worth looking at. */
export const worthLooking = 0x8006;

/** Guesses by a file's name and, where they are there, its first bytes, which say more. */
export function guessFormat(fileName: string, beginning?: Uint8Array): Guess {
  const isPackedByName = compressions.test(fileName);
  const inner = fileName.replace(compressions, '');
  const ending = /\.([a-z0-9]+)$/i.exec(inner)?.[1]?.toLowerCase() ?? '';
  const isOva = ending === 'ova';
  const seen = beginning === undefined ? undefined : formatOf(beginning);
  const isCompressed = beginning === undefined ? isPackedByName : seen === 'compressed';
  const byName = byEnding.get(ending) ?? Image_DiskFormat.UNSPECIFIED;
  return {
    diskFormat:
      typeof seen === 'number'
        ? seen
        : // Nothing else has no signature.
          byName === Image_DiskFormat.UNSPECIFIED && beginning !== undefined && !isCompressed
          ? Image_DiskFormat.RAW
          : byName,
    containerFormat: isOva ? Image_ContainerFormat.OVA : Image_ContainerFormat.BARE,
    isCompressed,
    name: (byEnding.has(ending) ? inner.slice(0, -ending.length - 1) : inner).slice(0, 255),
  };
}

/** Signatures: which bytes, and where. */
const signatures: readonly (readonly [Image_DiskFormat | 'compressed', number, string])[] = [
  [Image_DiskFormat.QCOW2, 0, 'QFI\u00fb'],
  [Image_DiskFormat.VMDK, 0, 'KDMV'],
  [Image_DiskFormat.VMDK, 0, '# Disk DescriptorFile'],
  [Image_DiskFormat.VHDX, 0, 'vhdxfile'],
  [Image_DiskFormat.VHD, 0, 'conectix'],
  [Image_DiskFormat.VDI, 0x40, '\u007f\u0010\u00da\u00be'],
  [Image_DiskFormat.PLOOP, 0, 'WithoutFreeSpace'],
  [Image_DiskFormat.PLOOP, 0, 'WithouFreSpacExt'],
  [Image_DiskFormat.ISO, 0x8001, 'CD001'],
  ['compressed', 0, '\u001f\u008b'],
  ['compressed', 0, '\u00fd7zXZ\u0000'],
  ['compressed', 0, '(\u00b5/\u00fd'],
  ['compressed', 0, 'BZh'],
];

function formatOf(beginning: Uint8Array): Image_DiskFormat | 'compressed' | undefined {
  return signatures.find(([, at, text]) =>
    Array.from({ length: text.length }, (_, index) => index).every(
      (index) => beginning[at + index] === text.charCodeAt(index),
    ),
  )?.[0];
}

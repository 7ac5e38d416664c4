import {
  Image_ContainerFormat,
  Image_DiskFormat,
  Image_Outlook,
  Image_Visibility,
} from '../../../gen/darkroom/v1/image_pb.ts';

/** How something looks at a glance: what colour it has. */
export type Tone = 'good' | 'busy' | 'bad' | 'quiet';

const outlooks: ReadonlyMap<Image_Outlook, readonly [word: string, tone: Tone]> = new Map([
  [Image_Outlook.EXPECTED, ['Coming', 'busy']],
  [Image_Outlook.AVAILABLE, ['Available', 'good']],
  [Image_Outlook.NOT_COMING, ['Not coming', 'bad']],
]);

/** What can be hoped for, in words. A newer service may know more than this console. */
export function outlookWord(outlook: Image_Outlook): readonly [word: string, tone: Tone] {
  return outlooks.get(outlook) ?? ['Unknown', 'quiet'];
}

/** Formats of disks as people write them; none for what is not known. */
export const diskFormats: ReadonlyMap<Image_DiskFormat, string> = new Map([
  [Image_DiskFormat.QCOW2, 'qcow2'],
  [Image_DiskFormat.RAW, 'raw'],
  [Image_DiskFormat.VMDK, 'vmdk'],
  [Image_DiskFormat.VDI, 'vdi'],
  [Image_DiskFormat.VHD, 'vhd'],
  [Image_DiskFormat.VHDX, 'vhdx'],
  [Image_DiskFormat.ISO, 'iso'],
  [Image_DiskFormat.PLOOP, 'ploop'],
  [Image_DiskFormat.AKI, 'aki'],
  [Image_DiskFormat.ARI, 'ari'],
  [Image_DiskFormat.AMI, 'ami'],
]);

/** What is around a disk, as people write it. */
export const containerFormats: ReadonlyMap<Image_ContainerFormat, string> = new Map([
  [Image_ContainerFormat.BARE, 'bare'],
  [Image_ContainerFormat.OVF, 'ovf'],
  [Image_ContainerFormat.OVA, 'ova'],
  [Image_ContainerFormat.DOCKER, 'docker'],
  [Image_ContainerFormat.COMPRESSED, 'compressed'],
]);

/** Who sees an image: the word, and what it means. */
export const visibilities: ReadonlyMap<Image_Visibility, readonly [word: string, meaning: string]> =
  new Map([
    [Image_Visibility.PRIVATE, ['private', 'this project alone']],
    [Image_Visibility.SHARED, ['shared', 'this project, and those that you name']],
    [Image_Visibility.COMMUNITY, ['community', 'every project, on request']],
    [Image_Visibility.PUBLIC, ['public', 'every project, in its lists']],
  ]);

/** An image by its name or, if it has none, by what it has. */
export function imageTitle(image: { readonly name: string; readonly id: string }): string {
  return image.name === '' ? `Image ${image.id.slice(-6)}` : image.name;
}

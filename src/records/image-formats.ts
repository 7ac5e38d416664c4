import { DarkroomError } from '../domain/darkroom-error.ts';
import type { ContainerFormat, DiskFormat, Image } from './image.ts';

/**
 * What an image is said to be, for whoever is about to bring its bytes.
 *
 * @throws DarkroomError FORMAT_NOT_SET while that is not said.
 */
export function requireFormats({
  id,
  diskFormat,
  containerFormat,
}: Pick<Image, 'id' | 'diskFormat' | 'containerFormat'>): {
  readonly diskFormat: DiskFormat;
  readonly containerFormat: ContainerFormat;
} {
  if (diskFormat == null || containerFormat == null) {
    const missing = [
      ...(diskFormat == null ? ['disk_format'] : []),
      ...(containerFormat == null ? ['container_format'] : []),
    ].join(' and ');
    throw new DarkroomError(
      'FORMAT_NOT_SET',
      `Image ${id} has no ${missing} yet, and no bytes are taken before it is known what they are to be. Set it first.`,
      { metadata: { image_id: id } },
    );
  }
  return { diskFormat, containerFormat };
}

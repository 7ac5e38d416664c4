import { invalidField } from '../../domain/darkroom-error.ts';
import { quoted } from '../../domain/quoted.ts';
import type { CreateImageRequest } from '../../images/image-requests.ts';
import { imageCreateRequest } from './image-create-request.ts';

/**
 * Reads what a client wants to have imported, as a task of Glance's: `{"type": "import", "input": {"import_from": …,
 * "import_from_format": …, "image_properties": {…}}}`. It makes an image, and the task that fetches its bytes.
 *
 * @throws DarkroomError FIELD_INVALID; as `imageCreateRequest` for the image's properties.
 */
export function taskCreateRequest(body: unknown): CreateImageRequest {
  const { type, input } = objectAt('body', body);
  if (type !== 'import') {
    throw invalidField('type', `must be import, not ${quoted(String(type))}`);
  }
  const fields = objectAt('input', input);
  const { import_from: url, import_from_format: format } = fields;
  if (typeof url !== 'string' || url === '') {
    throw invalidField('input.import_from', 'must say where the image is to be fetched from');
  }
  const properties = objectAt('input.image_properties', fields['image_properties'] ?? {});
  if (format !== undefined && typeof format !== 'string') {
    throw invalidField('input.import_from_format', 'must be a text');
  }
  const target = properties['disk_format'] ?? format;
  if (format !== undefined && target !== format) {
    throw invalidField(
      'input.import_from_format',
      `is ${quoted(format)}, which is not the disk_format of the image: images are not converted`,
    );
  }
  return {
    ...imageCreateRequest({ container_format: 'bare', ...properties, disk_format: target }),
    source: {
      kind: 'copy_from',
      from: { kind: 'url', url },
      totalSize: undefined,
      sha256: undefined,
      sha512: undefined,
      maxSizeBytes: undefined,
      headers: {},
    },
  };
}

function objectAt(path: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField(path, 'must be an object');
  }
  return value as Readonly<Record<string, unknown>>;
}

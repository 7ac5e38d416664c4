import { FieldChecks } from '../../domain/field-checks.ts';
import { invalidField } from '../../domain/darkroom-error.ts';
import type { CreateImageRequest } from '../../images/image-requests.ts';
import { requireRoom } from './image-limits.ts';
import {
  isOwnField,
  propertyValue,
  requireSettable,
  statedFields,
  textOrNull,
  type StatedFields,
} from './stated-fields.ts';

/**
 * Reads what a client says of a new image. Its bytes are uploaded later, or imported.
 *
 * @param body the JSON of the request.
 * @throws DarkroomError FIELD_INVALID (400; 403 for what no client may set, 413 for too many tags or properties).
 */
export function imageCreateRequest(body: unknown): CreateImageRequest {
  const checks = new FieldChecks();
  const named: StatedFields[] = [];
  const properties: [string, string][] = [];
  let id: string | null = null;
  let owner: string | null = null;
  for (const [name, value] of Object.entries(asObject(body))) {
    const field = statedFields.get(name);
    if (field !== undefined) {
      named.push(field.read(checks, value));
    } else if (name === 'id') {
      id = textOrNull(checks, 'id', value);
    } else if (name === 'owner') {
      owner = textOrNull(checks, 'owner', value);
    } else if (!isOwnField(name)) {
      requireSettable(name);
      properties.push([name, propertyValue(checks, name, value)]);
    }
  }
  const stated: StatedFields = Object.assign({}, ...named, {
    properties: Object.fromEntries(properties),
  });
  requireRoom(stated);
  checks.settle({});
  return {
    image: { ...unstated, ...stated },
    imageId: id ?? '',
    projectId: owner ?? '',
    source: { kind: 'upload', totalSize: undefined, sha256: undefined },
    requestId: '',
    idleTimeoutMs: undefined,
  };
}

/** Glance's defaults. */
const unstated: CreateImageRequest['image'] = {
  name: '',
  diskFormat: undefined,
  containerFormat: null,
  minDiskBytes: 0,
  minRamBytes: 0,
  properties: {},
  tags: [],
  visibility: 'SHARED',
  protected: false,
  hidden: false,
};

function asObject(body: unknown): object {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidField('body', 'must be a JSON object with the fields of an image');
  }
  return body;
}

import { FieldChecks } from '../../domain/field-checks.ts';
import { invalidField } from '../../domain/darkroom-error.ts';
import { quoted } from '../../domain/quoted.ts';
import type { ImageChangeRequest } from '../../images/update-image.ts';
import type { Image } from '../../records/image.ts';
import { requireRoom } from './image-limits.ts';
import { patchPathOf } from './patch-path.ts';
import { refusedField } from './rest-error.ts';
import { propertyValue, requireSettable, statedFields, textOrNull } from './stated-fields.ts';

/** The forms in which changes are sent, by their content types: Glance's own, after two drafts of JSON Patch. */
export const patchTypes = {
  'application/openstack-images-v2.0-json-patch': 'member',
  'application/openstack-images-v2.1-json-patch': 'op',
} as const;
/** Where an operation says what it is: `{"replace": path}`, or `{"op": "replace", "path": path}`. */
export type PatchForm = (typeof patchTypes)[keyof typeof patchTypes];

const operations = ['add', 'remove', 'replace'] as const;
type Operation = (typeof operations)[number];

/** One change of one field, or of one property. */
interface PatchStep {
  readonly operation: Operation;
  readonly name: string;
  readonly value: unknown;
  /** Whether what is there already may be added: it is replaced then. */
  readonly mayReplace: boolean;
}

/**
 * Reads what a client wants to change of an image.
 *
 * @param body the JSON of the request.
 * @throws DarkroomError FIELD_INVALID (400; 403 for what no client may change).
 */
export function patchSteps(body: unknown, form: PatchForm): readonly PatchStep[] {
  if (!Array.isArray(body)) {
    throw invalidField('body', 'must be a JSON list of operations');
  }
  const steps = body.map((entry: unknown, index) => patchStep(entry, form, `operation ${index}`));
  for (const { name } of steps) {
    requireSettable(name);
  }
  return steps;
}

function patchStep(entry: unknown, form: PatchForm, at: string): PatchStep {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    throw invalidField(at, 'must be a JSON object');
  }
  const members = new Map<string, unknown>(Object.entries(entry));
  const operation = form === 'op' ? statedOperation(members, at) : namedOperation(members, at);
  const path = members.get(form === 'op' ? 'path' : operation);
  const name = patchPathOf(path, at);
  if (operation !== 'remove' && !members.has('value')) {
    throw invalidField(at, `must have a value to ${operation}`);
  }
  return { operation, name, value: members.get('value'), mayReplace: form === 'op' };
}

function statedOperation(members: ReadonlyMap<string, unknown>, at: string): Operation {
  const op = members.get('op');
  const found = operations.find((operation) => operation === op);
  if (found === undefined) {
    const given = typeof op === 'string' ? `, not ${quoted(op)}` : '';
    throw invalidField(at, `must have an op of ${operations.join(', ')}${given}`);
  }
  return found;
}

function namedOperation(members: ReadonlyMap<string, unknown>, at: string): Operation {
  const [found, ...more] = operations.filter((operation) => members.has(operation));
  if (found === undefined || more.length > 0) {
    throw invalidField(at, `must have just one member of ${operations.join(', ')}`);
  }
  return found;
}

/**
 * What an image is to be changed by, one step after the other.
 *
 * @param image as it is.
 * @param mayGive whether the caller may give it to another project.
 * @throws DarkroomError FIELD_INVALID (400; 403 for a field that is not removed, 409 for a property that is not there, or is
 *   there already, 413 for too many).
 */
export function patchedImage(
  image: Readonly<Image>,
  steps: readonly PatchStep[],
  mayGive: boolean,
): ImageChangeRequest {
  const checks = new FieldChecks();
  const paths = new Set<string>();
  const properties = new Map(Object.entries(image.properties));
  const fields: ImageChangeRequest['values'][] = [];
  for (const step of steps) {
    const { operation, name, value, mayReplace } = step;
    const field = statedFields.get(name);
    if (name === 'owner') {
      const owner = operation === 'remove' ? null : textOrNull(checks, 'owner', value);
      requireOwner(owner, mayGive, image);
      fields.push({ projectId: owner } as ImageChangeRequest['values']);
      paths.add('project_id');
    } else if (field === undefined) {
      changeProperty(checks, properties, step);
      paths.add('properties');
    } else if (operation === 'remove') {
      throw refusedField(403, `/${name}`, 'is a field of every image, and is not removed');
    } else if (operation === 'add' && !mayReplace) {
      throw alreadyThere(name);
    } else {
      fields.push(field.read(checks, value) as ImageChangeRequest['values']);
      paths.add(field.path);
    }
  }
  const values = Object.assign({}, valuesOf(image), ...fields, {
    properties: Object.fromEntries(properties),
  }) as ImageChangeRequest['values'];
  requireRoom(values);
  checks.settle({});
  return { paths: [...paths], values };
}

/** To name the owner again changes nothing. */
function requireOwner(
  owner: string | null,
  mayGive: boolean,
  { projectId }: Readonly<Image>,
): asserts owner is string {
  if (owner === null || (owner !== projectId && !mayGive)) {
    throw refusedField(
      403,
      '/owner',
      `is not changed: this image belongs to ${quoted(projectId)}, and admins alone give images away, where they act in any ` +
        'project',
    );
  }
}

function changeProperty(
  checks: FieldChecks,
  properties: Map<string, string>,
  { operation, name, value, mayReplace }: PatchStep,
): void {
  const isThere = properties.has(name);
  if (operation === 'add' && isThere && !mayReplace) {
    throw alreadyThere(name);
  }
  if (operation !== 'add' && !isThere) {
    throw refusedField(409, `/${name}`, 'is no property of the image: there is nothing to change');
  }
  if (operation === 'remove') {
    properties.delete(name);
  } else {
    properties.set(name, propertyValue(checks, name, value));
  }
}

function alreadyThere(name: string): Error {
  return refusedField(409, `/${name}`, 'is there already: replace it');
}

/** An image's fields, as a change would set them. */
export function valuesOf(image: Readonly<Image>): ImageChangeRequest['values'] {
  return {
    name: image.name,
    diskFormat: image.diskFormat ?? undefined,
    containerFormat: image.containerFormat ?? null,
    minDiskBytes: image.minDiskBytes,
    minRamBytes: image.minRamBytes,
    properties: image.properties,
    tags: image.tags,
    visibility: image.visibility,
    protected: image.protected,
    hidden: image.hidden,
    deactivated: image.deactivated,
    projectId: image.projectId,
  };
}

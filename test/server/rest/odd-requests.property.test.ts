import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { newId, type ImageId } from '../../../src/records/ids.ts';
import type { Image } from '../../../src/records/image.ts';
import { imageCreateRequest } from '../../../src/server/rest/image-create-request.ts';
import { imageListRequest } from '../../../src/server/rest/image-list-request.ts';
import { patchedImage, patchSteps } from '../../../src/server/rest/image-patch.ts';
import { statusOfFailure } from '../../../src/server/rest/failure-status.ts';

const image = {
  id: newId<ImageId>(),
  projectId: 'garden',
  name: 'web',
  minDiskBytes: 0,
  minRamBytes: 0,
  properties: { os: 'debian' },
  tags: ['a'],
  visibility: 'PRIVATE',
  protected: false,
  hidden: false,
  deactivated: false,
} as unknown as Image;

const names = [
  'name',
  'id',
  'owner',
  'tags',
  'min_disk',
  'os_hidden',
  'locations',
  'os',
  'size',
  '__proto__',
];
const name = fc.oneof(fc.constantFrom(...names), fc.string());
const value = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom('raw', 'private', true, 0, -1, []),
);

/** Is done, or refused with what a caller is meant to see. */
function doesOrRefuses(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(DarkroomError);
    const { reason, code, message } = error as DarkroomError;
    const status = statusOfFailure(error, code as never, reason);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
    expect(message).not.toBe('');
  }
}

test('whatever is sent for a new image makes a request, or is refused in words', () => {
  const fields = fc.dictionary(name, value, { noNullPrototype: true });
  fc.assert(
    fc.property(fc.oneof(fields, fc.jsonValue()), (body) => {
      doesOrRefuses(() => imageCreateRequest(body));
    }),
    { numRuns: 1000 },
  );
});

test('whatever is sent as a patch changes an image, or is refused in words', () => {
  const word = fc.constantFrom('add', 'remove', 'replace', 'move');
  const path = name.map((text) => `/${text}`);
  const operation = fc.oneof(
    fc.record({ op: word, path, value }, { requiredKeys: [] }),
    fc.tuple(word, path, value).map(([op, at, to]) => ({ [op]: at, value: to })),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(fc.array(operation), fc.constantFrom('op', 'member'), (body, form) => {
      const before = structuredClone(image);
      doesOrRefuses(() => patchedImage(image, patchSteps(body, form), false));
      expect(image).toEqual(before);
    }),
    { numRuns: 1000 },
  );
});

test('whatever a list is asked for is a filter, or is refused in words', () => {
  const parameters = fc.constantFrom(
    'limit',
    'marker',
    'sort',
    'sort_key',
    'sort_dir',
    'name',
    'id',
    'status',
    'created_at',
    'updated_at',
    'size',
    'size_min',
    'tag',
    'visibility',
    'owner',
    'protected',
    'os_hidden',
    'member_status',
    'page_token',
    'os',
  );
  const text = fc.oneof(
    fc.string(),
    fc
      .tuple(fc.constantFrom('in:', 'gt:', 'neq:', 'eq:', 'lte:', 'x:'), fc.string())
      .map((two) => two.join('')),
    fc.constantFrom('2026-11-26T00:00:00Z', 'gte:9999-99-99', 'in:"a\\"b",c', 'name:asc,size', '5'),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(parameters, text)), (query) => {
      doesOrRefuses(() => imageListRequest(new URLSearchParams(query)));
    }),
    { numRuns: 1000 },
  );
});

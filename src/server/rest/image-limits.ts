import { maxProperties, maxTags } from '../../records/field-limits.ts';
import type { StatedFields } from './stated-fields.ts';
import { refusedField } from './rest-error.ts';

/** @throws RestError 413 for more tags or properties than an image may have. */
export function requireRoom({ tags = [], properties = {} }: StatedFields): void {
  if (tags.length > maxTags) {
    throw refusedField(413, 'tags', `must have at most ${maxTags} entries, not ${tags.length}`);
  }
  const count = Object.keys(properties).length;
  if (count > maxProperties) {
    throw refusedField(
      413,
      'an image',
      `must have at most ${maxProperties} properties besides its fields, not ${count}`,
    );
  }
}

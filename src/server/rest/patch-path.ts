import { invalidField } from '../../domain/darkroom-error.ts';
import { quoted } from '../../domain/quoted.ts';

/**
 * The one field or property that a path of a JSON patch names: a JSON pointer (RFC 6901) with one part. Glance takes
 * longer ones for locations alone, which there are none of here.
 *
 * @param at which operation, for people.
 * @throws DarkroomError FIELD_INVALID
 */
export function patchPathOf(path: unknown, at: string): string {
  if (typeof path !== 'string') {
    throw invalidField(at, 'must have a path, such as "/name"');
  }
  if (!path.startsWith('/')) {
    throw invalidField(at, `has the path ${quoted(path)}, which must begin with "/"`);
  }
  if (/~(?![01])/.test(path)) {
    throw invalidField(
      at,
      `has the path ${quoted(path)}, in which "~" must be written "~0" and "/" in a name "~1"`,
    );
  }
  const [name = '', ...more] = path.slice(1).split('/');
  if (name.trim() === '' || (more.length > 0 && name !== 'locations')) {
    throw invalidField(at, `has the path ${quoted(path)}, which must name one field: "/name"`);
  }
  return name.replaceAll('~1', '/').replaceAll('~0', '~').trim();
}

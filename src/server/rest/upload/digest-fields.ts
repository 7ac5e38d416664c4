import { invalidField } from '../../../domain/darkroom-error.ts';
import { quoted } from '../../../domain/quoted.ts';

/** Digests of a whole image, lower-case hex. */
export interface StatedDigests {
  readonly sha256: string | undefined;
  readonly sha512: string | undefined;
}

/** Bytes of the digests that can be checked, by their names in RFC 9530's registry. */
const checked = { 'sha-256': 32, 'sha-512': 64 } as const;

/**
 * Reads a field of digests, `sha-256=:<base64>:` (RFC 9530, a dictionary of RFC 9651). Others beside one that is checked are
 * passed over; one that is stated and could not be checked at all is refused, or its sender would believe it had been.
 *
 * @param name of the field, for the message.
 * @throws DarkroomError FIELD_INVALID
 */
export function digestsIn(name: string, field: string): StatedDigests {
  const found = new Map<string, string>();
  for (const member of field.split(',')) {
    const [, algorithm = '', base64 = ''] =
      /^[ \t]*([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/]*={0,2}):[ \t]*$/.exec(member) ?? [];
    if (algorithm === '') {
      throw invalidField(name, `must be such as sha-256=:<base64>:, not ${quoted(member.trim())}`);
    }
    if (algorithm in checked) {
      const digest = Buffer.from(base64, 'base64');
      const bytes = checked[algorithm as keyof typeof checked];
      if (digest.byteLength !== bytes) {
        throw invalidField(name, `has ${digest.byteLength} bytes for ${algorithm}, not ${bytes}`);
      }
      found.set(algorithm, digest.toString('hex'));
    }
  }
  if (found.size === 0) {
    throw invalidField(
      name,
      `has none of ${Object.keys(checked).join(', ')}, which can be checked`,
    );
  }
  return { sha256: found.get('sha-256'), sha512: found.get('sha-512') };
}

import { z } from 'zod';
import { roles } from '../../access/caller.ts';
import { isProjectName } from '../acting-caller.ts';
import { parseJsonFile } from '../json-file.ts';

/** Whom a name in a certificate stands for. */
const mappedName = z.strictObject({
  /** Its kind, and the whole of it. */
  name: z.string().regex(/^(?:URI|DNS|email|IP):\S+$/),
  user: z.string().min(1).max(255),
  /** None for who only acts as a service. */
  project: z.string().refine(isProjectName).optional(),
  roles: z.array(z.enum(roles)).min(1),
});

const certificateFile = z.strictObject({ version: z.literal(1), identities: z.array(mappedName) });

export type MappedName = Readonly<z.infer<typeof mappedName>>;

/**
 * Reads the text of a file that says whom certificates stand for.
 *
 * @throws Error that says where it does not.
 */
export function parseCertificateFile(text: string): readonly MappedName[] {
  const { identities } = parseJsonFile(text, certificateFile);
  const names = new Set(identities.map(({ name }) => comparable(name)));
  if (names.size < identities.length) {
    throw new Error('it has a name twice');
  }
  return identities;
}

/** The form in which names are compared: hosts in any case (RFC 4343). */
export function comparable(name: string): string {
  return name.startsWith('DNS:') ? `DNS:${name.slice(4).toLowerCase()}` : name;
}

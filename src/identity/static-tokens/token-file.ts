import { z } from 'zod';
import { roles } from '../../access/caller.ts';
import { isProjectName } from '../acting-caller.ts';
import { parseJsonFile } from '../json-file.ts';

const time = z.iso.datetime();

/** A token as the file keeps it; the secret itself is nowhere. */
const tokenRecord = z.strictObject({
  id: z.string().regex(/^[0-9a-f]{12}$/),
  /** Of the secret, in hex. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  user: z.string().min(1).max(255),
  /** None for a token that only acts as a service. */
  project: z.string().refine(isProjectName).optional(),
  roles: z.array(z.enum(roles)).min(1),
  /** For people. */
  description: z.string().max(255).optional(),
  createTime: time,
  expireTime: time.optional(),
});

const tokenFile = z.strictObject({ version: z.literal(1), tokens: z.array(tokenRecord) });

/** A token that the service knows. */
export type TokenRecord = Readonly<z.infer<typeof tokenRecord>>;

/**
 * Reads the text of a token file.
 *
 * @throws Error that says where it is not one.
 */
export function parseTokenFile(text: string): readonly TokenRecord[] {
  const { tokens } = parseJsonFile(text, tokenFile);
  const ids = new Set(tokens.map(({ id }) => id));
  if (ids.size < tokens.length) {
    throw new Error('two of its tokens have the same id');
  }
  return tokens;
}

/** The text of a token file. */
export function tokenFileText(tokens: readonly TokenRecord[]): string {
  return `${JSON.stringify({ version: 1, tokens }, undefined, 2)}\n`;
}

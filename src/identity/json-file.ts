import type { z } from 'zod';

/**
 * Reads the text of a JSON file that has to be of some form.
 *
 * @throws Error that says where it is not, in one line and without its values.
 */
export function parseJsonFile<T>(text: string, schema: z.ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('it is not whole, or no JSON');
  }
  const { data, error } = schema.safeParse(value);
  if (error !== undefined) {
    const [first] = error.issues;
    const place = first?.path.join('.') ?? '';
    throw new Error(`${place === '' ? 'it' : place} is wrong: ${first?.message ?? ''}`);
  }
  return data;
}

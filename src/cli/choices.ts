/**
 * The words that options take for values of the contract's enums: their names, in small letters and with dashes. They stand here so
 * that the program knows them without reading the contract.
 */
export const diskFormats = [
  'raw',
  'qcow2',
  'vmdk',
  'vdi',
  'vhd',
  'vhdx',
  'iso',
  'ploop',
  'aki',
  'ari',
  'ami',
] as const;
export const containerFormats = ['bare', 'ovf', 'ova', 'docker', 'compressed'] as const;
export const visibilities = ['private', 'shared', 'community', 'public'] as const;
export const imageStates = ['queued', 'active', 'deleted'] as const;
export const outlooks = ['expected', 'available', 'not-coming'] as const;
export const taskStates = ['pending', 'running', 'succeeded', 'failed', 'cancelled'] as const;
export const taskTypes = ['upload', 'snapshot', 'import'] as const;
/** Orders of images, by the ends of their names in the contract. */
export const imageOrders = ['newest', 'oldest', 'updated', 'name', 'size'] as const;
/** Kinds of failure that a producer can report: those of google.rpc.Code but OK. */
export const faultCodes = [
  'cancelled',
  'unknown',
  'invalid-argument',
  'deadline-exceeded',
  'not-found',
  'already-exists',
  'permission-denied',
  'unauthenticated',
  'resource-exhausted',
  'failed-precondition',
  'aborted',
  'out-of-range',
  'unimplemented',
  'internal',
  'unavailable',
  'data-loss',
] as const;

/** The value of an enum that a word of the lists above stands for. @param values the enum */
export function enumValue<Value extends number>(
  values: Readonly<Record<string, Value | string>>,
  word: string,
): Value {
  const value = values[word.toUpperCase().replaceAll('-', '_')];
  if (typeof value !== 'number') {
    throw new TypeError(`the contract has no ${word}`);
  }
  return value;
}

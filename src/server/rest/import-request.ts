import { invalidField } from '../../domain/darkroom-error.ts';
import { quoted } from '../../domain/quoted.ts';
import { refusedField } from './rest-error.ts';
import { importMethods, storeId, type ImportMethod } from './upload/store.ts';

/** What an import is asked to do. */
export type ImportRequest =
  | { readonly method: 'glance-direct' }
  | { readonly method: 'web-download'; readonly uri: string }
  /** @property stores those that are named; undefined for all. */
  | { readonly method: 'copy-image'; readonly stores: readonly string[] | undefined };

/**
 * Reads the body of an import, as Glance takes it.
 *
 * @param storeHeader names a store, as older clients do.
 * @throws DarkroomError FIELD_INVALID; for a store that there is not with status 409, as Glance.
 */
export function importRequest(body: unknown, storeHeader: string | undefined): ImportRequest {
  const request = objectAt('body', body);
  const method = objectAt('method', request['method']);
  const name = methodName(method['name']);
  const stores = storesIn(request, storeHeader);
  switch (name) {
    case 'glance-direct':
      return { method: name };
    case 'web-download': {
      const { uri } = method;
      if (typeof uri !== 'string' || uri === '') {
        throw invalidField('method.uri', 'must say where the image is to be fetched from');
      }
      return { method: name, uri };
    }
    case 'copy-image':
      return { method: name, stores };
  }
}

function methodName(given: unknown): ImportMethod {
  const found = importMethods.find((name) => name === given);
  if (found === undefined) {
    const ways = importMethods.join(', ');
    throw invalidField('method.name', `must be one of ${ways}, not ${quoted(String(given))}`);
  }
  return found;
}

function storesIn(
  request: Readonly<Record<string, unknown>>,
  header: string | undefined,
): readonly string[] | undefined {
  const isAll = flagAt('all_stores', request['all_stores'] ?? false);
  flagAt('all_stores_must_succeed', request['all_stores_must_succeed'] ?? true);
  const listed = request['stores'];
  if (listed !== undefined && (isAll || header !== undefined)) {
    throw invalidField('stores', 'must not be set together with all_stores or x-image-meta-store');
  }
  if (isAll) {
    return undefined;
  }
  if (listed !== undefined && !isTextList(listed)) {
    throw invalidField('stores', 'must be a list of names of stores');
  }
  const stores = listed ?? [header ?? storeId];
  for (const store of stores) {
    if (store !== storeId) {
      throw refusedField(409, 'stores', `has ${quoted(store)}, and there is only ${storeId}`);
    }
  }
  return stores;
}

function objectAt(path: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidField(path, 'must be an object');
  }
  return value as Readonly<Record<string, unknown>>;
}

function flagAt(path: string, value: unknown): boolean {
  if (typeof value !== 'boolean') {
    throw invalidField(path, 'must be true or false');
  }
  return value;
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { Environment } from '../environment.ts';

/** Where what a user has set is kept, by the XDG Base Directory Specification. */
export function configFolder(environment: Environment): string {
  return folderOf(environment, 'XDG_CONFIG_HOME', '.config');
}

/** Where what is to be gone on with is kept, by the XDG Base Directory Specification. */
export function stateFolder(environment: Environment): string {
  return folderOf(environment, 'XDG_STATE_HOME', join('.local', 'state'));
}

/** By the specification a path that is not absolute counts as not set. */
function folderOf(environment: Environment, variable: string, fallback: string): string {
  const given = environment[variable];
  const base =
    given !== undefined && isAbsolute(given)
      ? given
      : join(environment['HOME'] || homedir(), fallback);
  return join(base, 'darkroom');
}

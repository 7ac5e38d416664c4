import { join } from 'node:path';
import { createToken } from '../../src/identity/static-tokens/token-store.ts';
import type { Role } from '../../src/access/caller.ts';
import { makeDataDir } from './service-process.ts';

/** Tokens of people, each of one role in one project. */
export interface ProjectTokens {
  /** What DARKROOM_TOKENS_FILE is to be. */
  readonly file: string;
  readonly tokenOf: (project: string, role: Role) => string;
}

/** Keeps tokens in a folder of their own, which is removed when `defer` says so. */
export async function projectTokens(
  defer: (cleanUp: () => Promise<void>) => void,
): Promise<ProjectTokens> {
  const folder = await makeDataDir();
  defer(folder.remove);
  const file = join(folder.path, 'tokens.json');
  return {
    file,
    tokenOf: (project, role) =>
      createToken(file, {
        user: `${role} of ${project}`,
        project,
        roles: [role],
        description: undefined,
        lifetimeMs: undefined,
      }).token,
  };
}

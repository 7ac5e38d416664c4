import { spawnSync } from 'node:child_process';
import { repository } from './service-process.ts';

/** A user of the operating system. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** The user that exists everywhere and may do nothing. */
export const nobody: Account = { uid: 65_534, gid: 65_534 };

/**
 * Whether the checkout's service can be run as another user: only root may try, and the other user must be able
 * to read it. Says aloud if not.
 */
export function canBeRunBy(account: Account): boolean {
  const why =
    process.getuid?.() !== 0
      ? 'the tests are not run by root'
      : spawnSync(process.execPath, ['--check', 'src/main.mjs'], { cwd: repository, ...account })
            .status === 0
        ? undefined
        : `${repository} cannot be read by other users`;
  if (why !== undefined) {
    console.warn(`${why}: the tests of a service that another user runs are skipped`);
  }
  return why === undefined;
}

import { readFileSync } from 'node:fs';

/** Where the token comes from by which a service knows its caller. */
export interface TokenSource {
  /** The token to send; undefined where none is. @throws Error where it cannot be had. */
  current(): Promise<string | undefined>;
  /** Called when a service did not take the token: the next one may be another. */
  renew(): void;
}

/** The same one as long as it is taken, which may be none. */
export function fixedToken(token: string | undefined): TokenSource {
  return { current: () => Promise.resolve(token), renew: () => {} };
}

/** The one in a file, which is read again when it is not taken any more: a long copy outlives its token. */
export function tokenInFile(path: string): TokenSource {
  let token: string | undefined;
  return {
    current: () =>
      new Promise((resolve) => {
        token ??= readFileSync(path, 'utf8').trim();
        resolve(token);
      }),
    renew: () => (token = undefined),
  };
}

import { Authenticator } from './authenticator.ts';
import { StaticTokenProvider } from './static-tokens/static-token-provider.ts';

/** How callers are known, as it is set. */
export interface IdentityOptions {
  readonly tokensFile: string | undefined;
}

/** What an authenticator has to be told of, and to stop at the end. */
export interface OpenedIdentities {
  /** Undefined where there is no provider at all. */
  readonly authenticator: Authenticator | undefined;
  close(): void;
}

/**
 * Opens the providers that are set.
 *
 * @param onWarning told, in words for people, what of them cannot be used just now.
 * @throws IdentityFileError for a file that cannot be used at all.
 */
export function openIdentities(
  { tokensFile }: IdentityOptions,
  onWarning: (message: string) => void,
): OpenedIdentities {
  const closing: (() => void)[] = [];
  const tokens = [];
  if (tokensFile !== undefined) {
    const provider = new StaticTokenProvider(tokensFile, onWarning);
    closing.push(() => provider.close());
    tokens.push(provider);
  }
  return {
    authenticator: tokens.length === 0 ? undefined : new Authenticator({ tokens }),
    close: () => closing.forEach((close) => close()),
  };
}

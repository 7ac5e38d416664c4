import { Authenticator } from './authenticator.ts';
import type { TokenProvider } from './identity.ts';
import { JwtProvider } from './jwt/jwt-provider.ts';
import { KeyFile } from './jwt/key-file.ts';
import type { KeySource } from './jwt/key-source.ts';
import { RemoteKeys } from './jwt/remote-keys.ts';
import { StaticTokenProvider } from './static-tokens/static-token-provider.ts';

/** How callers are known, as it is set. */
export interface IdentityOptions {
  readonly tokensFile: string | undefined;
  /** The next ones count only with it. */
  readonly jwtIssuer: string | undefined;
  readonly jwtAudience: readonly string[];
  readonly jwtAlgorithms: readonly string[];
  readonly jwtClockSkewMs: number;
  readonly jwtUserClaim: string;
  readonly jwtProjectClaim: string;
  readonly jwtRolesClaim: string;
  readonly jwtRolePrefix: string | undefined;
  /** One of these two is set, if the issuer is. */
  readonly jwksUrl: string | undefined;
  readonly jwksFile: string | undefined;
}

/** How callers are known, until it is closed. */
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
  options: IdentityOptions,
  onWarning: (message: string) => void,
): OpenedIdentities {
  const providers: (TokenProvider & { close(): void })[] = [];
  const close = (): void => providers.forEach((provider) => provider.close());
  try {
    if (options.tokensFile !== undefined) {
      providers.push(new StaticTokenProvider(options.tokensFile, onWarning));
    }
    if (options.jwtIssuer !== undefined) {
      providers.push(jwtProvider(options, options.jwtIssuer, onWarning));
    }
  } catch (error) {
    close();
    throw error;
  }
  return {
    authenticator: providers.length === 0 ? undefined : new Authenticator({ tokens: providers }),
    close,
  };
}

function jwtProvider(
  options: IdentityOptions,
  issuer: string,
  onWarning: (message: string) => void,
): JwtProvider {
  const rules = {
    issuer,
    audience: options.jwtAudience,
    algorithms: options.jwtAlgorithms,
    clockSkewMs: options.jwtClockSkewMs,
    claims: {
      user: options.jwtUserClaim,
      project: options.jwtProjectClaim,
      roles: options.jwtRolesClaim,
      rolePrefix: options.jwtRolePrefix ?? '',
    },
  };
  const { jwksUrl: url, jwksFile } = options;
  return new JwtProvider(rules, (onChange): KeySource => {
    if (jwksFile !== undefined) {
      return new KeyFile(jwksFile, onChange, onWarning);
    }
    if (url === undefined) {
      throw new Error('nothing says where the keys of the issuer are');
    }
    return new RemoteKeys({ url, onChange, onWarning });
  });
}

import { Authenticator } from './authenticator.ts';
import { CertificateIdentities } from './certificates/certificate-identities.ts';
import type { TokenProvider } from './identity.ts';
import { JwtProvider } from './jwt/jwt-provider.ts';
import { KeystoneProvider } from './keystone/keystone-provider.ts';
import { roleNames } from './keystone/token-body.ts';
import { KeyFile } from './jwt/key-file.ts';
import type { KeySource } from './jwt/key-source.ts';
import { RemoteKeys } from './jwt/remote-keys.ts';
import { StaticTokenProvider } from './static-tokens/static-token-provider.ts';

/** How callers are known, as it is set. */
export interface IdentityOptions {
  readonly tokensFile: string | undefined;
  /** What names in the certificates of clients stand for. */
  readonly certificatesFile: string | undefined;
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
  /** The next ones count only with it. */
  readonly keystoneUrl: string | undefined;
  /** One of these two is set, and a file of its secret, if the URL is. */
  readonly keystoneUser: string | undefined;
  readonly keystoneApplicationCredential: string | undefined;
  readonly keystoneSecretFile: string | undefined;
  readonly keystoneUserDomain: string;
  readonly keystoneProject: string;
  readonly keystoneProjectDomain: string;
  /** `Keystone's=ours` */
  readonly keystoneRoles: readonly string[];
  readonly keystoneCacheMs: number;
  readonly keystoneTimeoutMs: number;
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
 * @throws WatchedFileError for a file that cannot be used at all.
 */
export function openIdentities(
  options: IdentityOptions,
  onWarning: (message: string) => void,
): OpenedIdentities {
  const tokens: (TokenProvider & { close(): void })[] = [];
  let certificates: CertificateIdentities | undefined;
  const close = (): void => {
    tokens.forEach((provider) => provider.close());
    certificates?.close();
  };
  try {
    if (options.tokensFile !== undefined) {
      tokens.push(new StaticTokenProvider(options.tokensFile, onWarning));
    }
    // Before what takes any JSON Web Token: it knows its own.
    if (options.keystoneUrl !== undefined) {
      tokens.push(keystoneProvider(options, options.keystoneUrl, onWarning));
    }
    if (options.jwtIssuer !== undefined) {
      tokens.push(jwtProvider(options, options.jwtIssuer, onWarning));
    }
    if (options.certificatesFile !== undefined) {
      certificates = new CertificateIdentities(options.certificatesFile, onWarning);
    }
  } catch (error) {
    close();
    throw error;
  }
  const isNone = tokens.length === 0 && certificates === undefined;
  return { authenticator: isNone ? undefined : new Authenticator({ tokens, certificates }), close };
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

function keystoneProvider(
  options: IdentityOptions,
  url: string,
  onWarning: (message: string) => void,
): KeystoneProvider {
  const { keystoneUser: user, keystoneApplicationCredential: id, keystoneSecretFile } = options;
  if (keystoneSecretFile === undefined) {
    throw new Error('nothing says by what Keystone knows the service');
  }
  return new KeystoneProvider(
    {
      url,
      credentials:
        id !== undefined
          ? { kind: 'application credential', id }
          : {
              kind: 'user',
              user: user ?? '',
              userDomain: options.keystoneUserDomain,
              project: options.keystoneProject,
              projectDomain: options.keystoneProjectDomain,
            },
      secretFile: keystoneSecretFile,
      roles: roleNames(options.keystoneRoles),
      cacheMs: options.keystoneCacheMs,
      timeoutMs: options.keystoneTimeoutMs,
    },
    onWarning,
  );
}

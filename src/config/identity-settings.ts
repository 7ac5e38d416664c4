import { hostOf } from '../domain/host-name.ts';
import { isLoopback } from '../domain/loopback.ts';
import { keystoneProblems, keystoneSettingSpecs } from './keystone-settings.ts';
import {
  list,
  oneOf,
  optional,
  path,
  text,
  wholeNumber,
  type SettingSpec,
} from './setting-spec.ts';

/**
 * Signatures of tokens that may be taken: by public keys only. One by a shared secret could be made by whoever knows the public
 * key.
 */
const jwtAlgorithms: ReadonlySet<string> = new Set(
  'RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519'.split(' '),
);

/** The settings of who callers are, and how they are known. */
export const identitySettingSpecs = {
  tokensFile: path(
    'DARKROOM_TOKENS_FILE',
    'Static tokens by which callers are known, as `darkroom token` keeps them; read again when it changes.',
  ),
  certificatesFile: path(
    'DARKROOM_CERTIFICATE_IDENTITIES_FILE',
    'Whom names in the certificates of clients stand for; read again when it changes.',
  ),
  jwtIssuer: optional(
    'DARKROOM_JWT_ISSUER',
    'a text that is not empty',
    'Issuer of the JSON Web Tokens by which callers are known: their claim `iss`, to the letter.',
  ),
  jwtAudience: list(
    'DARKROOM_JWT_AUDIENCE',
    '',
    () => true,
    'a list of names separated by commas',
    'Audiences, one of which a token has to be for: its claim `aud`.',
  ),
  jwksUrl: optional(
    'DARKROOM_JWT_JWKS_URL',
    'an https URL, or an http URL of this machine',
    'Where the issuer has its public keys, a JSON Web Key Set.',
    isKeySetUrl,
  ),
  jwksFile: path(
    'DARKROOM_JWT_JWKS_FILE',
    'The public keys of the issuer, in place of a URL; read again when it changes.',
  ),
  jwtAlgorithms: list(
    'DARKROOM_JWT_ALGORITHMS',
    'RS256,PS256,ES256,EdDSA',
    (name) => jwtAlgorithms.has(name),
    `a list of ${[...jwtAlgorithms].join(', ')}, separated by commas`,
    'How tokens may be signed.',
  ),
  jwtClockSkewMs: wholeNumber(
    'DARKROOM_JWT_CLOCK_SKEW_MS',
    30_000,
    [0, 600_000],
    'ms',
    'How far the clocks of issuer and service may be apart.',
  ),
  jwtUserClaim: text('DARKROOM_JWT_USER_CLAIM', 'sub', 'Claim that says who the caller is.'),
  jwtProjectClaim: text(
    'DARKROOM_JWT_PROJECT_CLAIM',
    'project',
    'Claim that says which project the caller is of; a dot leads into a claim.',
  ),
  jwtRolesClaim: text(
    'DARKROOM_JWT_ROLES_CLAIM',
    'roles',
    'Claim that has the roles of the caller, as a list or a text with blanks between; a dot leads into a claim.',
  ),
  jwtRolePrefix: optional(
    'DARKROOM_JWT_ROLE_PREFIX',
    'a text that is not empty',
    'What stands before the names of roles in that claim, such as `darkroom:`; what begins otherwise is no role here.',
  ),
  ...keystoneSettingSpecs,
  allowAnonymous: oneOf(
    'DARKROOM_ALLOW_ANONYMOUS',
    'on-loopback',
    ['on-loopback', 'everywhere'],
    'Where a service that is told of no identity provider may listen: everybody who reaches it is its admin.',
  ),
  reflection: oneOf(
    'DARKROOM_REFLECTION',
    'callers',
    ['everybody', 'callers', 'off'],
    'Who may ask by gRPC reflection for the calls that there are: everybody, callers who are known, or nobody.',
  ),
  publicImagesBy: oneOf(
    'DARKROOM_PUBLIC_IMAGES_BY',
    'admins',
    ['admins', 'members'],
    'Who may make an image PUBLIC, so that all projects see it in their lists: admins, or members and services, too.',
  ),
  adminsActIn: oneOf(
    'DARKROOM_ADMINS_ACT_IN',
    'their-project',
    ['their-project', 'any-project'],
    'Where admins act: in their own project, or in any, as those of OpenStack do.',
  ),
} as const;

type IdentitySettings = {
  readonly [
    K in keyof typeof identitySettingSpecs
  ]: (typeof identitySettingSpecs)[K] extends SettingSpec<infer T> ? T : never;
};

/** Whether any identity provider is set. */
export function knowsCallers(settings: Partial<IdentitySettings>): boolean {
  const { tokensFile, jwtIssuer, keystoneUrl, certificatesFile } = settings;
  const providers = [tokensFile, jwtIssuer, keystoneUrl, certificatesFile];
  return providers.some((provider) => provider !== undefined);
}

/** What is wrong with these settings together, a sentence for each. Those that are wrong by themselves are not set. */
export function identityProblems(
  settings: Partial<IdentitySettings> & {
    readonly host?: string;
    readonly tlsClientCaFile?: string | undefined;
  },
): readonly string[] {
  const { host, allowAnonymous, certificatesFile, tlsClientCaFile } = settings;
  const problems = [...jwtProblems(settings), ...keystoneProblems(settings)];
  if (certificatesFile !== undefined && tlsClientCaFile === undefined) {
    problems.push(
      'DARKROOM_CERTIFICATE_IDENTITIES_FILE needs DARKROOM_TLS_CLIENT_CA_FILE: nobody is asked for a certificate without it',
    );
  }
  if (
    host !== undefined &&
    !isLoopback(host) &&
    !knowsCallers(settings) &&
    allowAnonymous === 'on-loopback'
  ) {
    problems.push(
      `DARKROOM_HOST=${host} lets others than this machine call, and everybody would be the admin: tell the service how to ` +
        'know its callers, by DARKROOM_TOKENS_FILE, DARKROOM_JWT_ISSUER, DARKROOM_KEYSTONE_URL or ' +
        'DARKROOM_CERTIFICATE_IDENTITIES_FILE, or set ' +
        'DARKROOM_ALLOW_ANONYMOUS=everywhere if that is what you want',
    );
  }
  return problems;
}

function* jwtProblems({
  jwtIssuer,
  jwtAudience = [],
  jwtAlgorithms: algorithms = ['any'],
  jwksUrl,
  jwksFile,
}: Partial<IdentitySettings>): Generator<string> {
  const places = [jwksUrl, jwksFile].filter((place) => place !== undefined).length;
  if (jwtIssuer === undefined) {
    if (places > 0 || jwtAudience.length > 0) {
      yield 'DARKROOM_JWT_ISSUER is missing: whose tokens are meant by the other settings of DARKROOM_JWT_';
    }
    return;
  }
  if (jwtAudience.length === 0) {
    yield 'DARKROOM_JWT_AUDIENCE is missing: without it a token that was made for another service would be taken';
  }
  if (places !== 1) {
    yield 'the keys of DARKROOM_JWT_ISSUER have to come from one of DARKROOM_JWT_JWKS_URL and DARKROOM_JWT_JWKS_FILE';
  }
  if (algorithms.length === 0) {
    yield 'DARKROOM_JWT_ALGORITHMS is empty: name those that the issuer signs with';
  }
}

/** Who could change the keys on their way could make any token. */
function isKeySetUrl(value: string): boolean {
  const url = URL.parse(value);
  return url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(hostOf(url)));
}

import { hostOf } from '../domain/host-name.ts';
import { isLoopback } from '../domain/loopback.ts';
import {
  list,
  oneOf,
  optional,
  path,
  text,
  wholeNumber,
  type SettingSpec,
} from './setting-spec.ts';

/** The settings of callers who are known by OpenStack's Keystone. */
export const keystoneSettingSpecs = {
  keystoneUrl: optional(
    'DARKROOM_KEYSTONE_URL',
    'an http or https URL such as https://keystone.example.com:5000/v3',
    'Where OpenStack’s Keystone is, by whose tokens callers are known.',
    isUrl,
  ),
  keystonePublicUrl: optional(
    'DARKROOM_KEYSTONE_PUBLIC_URL',
    'an http or https URL such as https://keystone.example.com:5000/v3',
    'Where callers who have no token are told to get one, if not from DARKROOM_KEYSTONE_URL.',
    isUrl,
  ),
  keystonePlaintext: oneOf(
    'DARKROOM_KEYSTONE_PLAINTEXT',
    'loopback-only',
    ['loopback-only', 'allowed-on-any-network'],
    'Where Keystone may be asked over http, by which tokens and a password travel in the clear.',
  ),
  keystoneUser: optional(
    'DARKROOM_KEYSTONE_USER',
    'a text that is not empty',
    'User by whom the service asks Keystone about tokens.',
  ),
  keystoneUserDomain: text(
    'DARKROOM_KEYSTONE_USER_DOMAIN',
    'Default',
    'Name of the domain of that user.',
  ),
  keystoneProject: text(
    'DARKROOM_KEYSTONE_PROJECT',
    'service',
    'Project in which that user has a role that may validate tokens, such as `service`.',
  ),
  keystoneProjectDomain: text(
    'DARKROOM_KEYSTONE_PROJECT_DOMAIN',
    'Default',
    'Name of the domain of that project.',
  ),
  keystoneApplicationCredential: optional(
    'DARKROOM_KEYSTONE_APPLICATION_CREDENTIAL',
    'a text that is not empty',
    'Id of the application credential by which the service asks, in place of a user.',
  ),
  keystoneSecretFile: path(
    'DARKROOM_KEYSTONE_SECRET_FILE',
    'Password of that user, or secret of that application credential; read again when it changes.',
  ),
  keystoneRoles: list(
    'DARKROOM_KEYSTONE_ROLES',
    'admin=admin,member=member,manager=member,reader=reader,service=service',
    (entry) => /^.+= *(reader|member|admin|service)$/.test(entry),
    'a list such as admin=admin,operator=member of names of Keystone’s roles with reader, member, admin or service, separated by commas',
    'What roles of Keystone are here, in any case; others are none.',
  ),
  keystoneCacheMs: wholeNumber(
    'DARKROOM_KEYSTONE_CACHE_MS',
    300_000,
    [0, 3_600_000],
    'ms',
    'How long what Keystone says of a token is remembered, and a revoked one so still taken; 0 asks for each call.',
  ),
  keystoneTimeoutMs: wholeNumber(
    'DARKROOM_KEYSTONE_TIMEOUT_MS',
    10_000,
    [10, 600_000],
    'ms',
    'How long Keystone may take to say what a token is worth.',
  ),
} as const;

type KeystoneSettings = {
  readonly [
    K in keyof typeof keystoneSettingSpecs
  ]: (typeof keystoneSettingSpecs)[K] extends SettingSpec<infer T> ? T : never;
};

/** What is wrong with these settings together, a sentence for each. */
export function* keystoneProblems({
  keystoneUrl,
  keystonePublicUrl,
  keystonePlaintext,
  keystoneUser,
  keystoneApplicationCredential,
  keystoneSecretFile,
}: Partial<KeystoneSettings>): Generator<string> {
  const accounts = [keystoneUser, keystoneApplicationCredential].filter(
    (account) => account !== undefined,
  );
  if (keystoneUrl === undefined) {
    if (accounts.length > 0 || [keystonePublicUrl, keystoneSecretFile].some(Boolean)) {
      yield 'DARKROOM_KEYSTONE_URL is missing: which Keystone is meant by the other settings of DARKROOM_KEYSTONE_';
    }
    return;
  }
  if (accounts.length !== 1) {
    yield 'Keystone has to know the service by one of DARKROOM_KEYSTONE_USER and DARKROOM_KEYSTONE_APPLICATION_CREDENTIAL';
  }
  if (keystoneSecretFile === undefined) {
    yield 'DARKROOM_KEYSTONE_SECRET_FILE is missing: the file of the password, or of the secret of the application credential';
  }
  const url = new URL(keystoneUrl);
  if (
    url.protocol === 'http:' &&
    !isLoopback(hostOf(url)) &&
    keystonePlaintext === 'loopback-only'
  ) {
    yield (
      `DARKROOM_KEYSTONE_URL=${keystoneUrl} would send tokens and a password in the clear: give it https, or set ` +
      'DARKROOM_KEYSTONE_PLAINTEXT=allowed-on-any-network if the network between is trusted'
    );
  }
}

/** Nothing after the path, and no password in it. */
function isUrl(value: string): boolean {
  const url = URL.parse(value);
  return (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    [url.search, url.hash, url.username, url.password].every((part) => part === '')
  );
}

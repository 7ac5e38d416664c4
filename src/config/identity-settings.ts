import { isIP } from 'node:net';
import { z } from 'zod';
import { oneOf, setting, type SettingSpec } from './setting-spec.ts';

function path(env: string, description: string): SettingSpec<string | undefined> {
  return setting({
    env,
    schema: z.string().trim().min(1).optional(),
    default: undefined,
    allowed: 'the path of a file',
    description,
  });
}

/** The settings of who callers are, and how they are known. */
export const identitySettingSpecs = {
  tokensFile: path(
    'DARKROOM_TOKENS_FILE',
    'Static tokens by which callers are known, as `darkroom token` keeps them; read again when it changes.',
  ),
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
} as const;

type IdentitySettings = {
  readonly [
    K in keyof typeof identitySettingSpecs
  ]: (typeof identitySettingSpecs)[K] extends SettingSpec<infer T> ? T : never;
};

/** Whether any identity provider is set. */
export function knowsCallers({ tokensFile }: Partial<IdentitySettings>): boolean {
  return tokensFile !== undefined;
}

/** What is wrong with these settings together, a sentence for each. */
export function identityProblems(
  settings: Partial<IdentitySettings> & { readonly host?: string },
): readonly string[] {
  const { host, allowAnonymous } = settings;
  if (host === undefined || isLoopback(host) || knowsCallers(settings)) {
    return [];
  }
  return allowAnonymous === 'on-loopback'
    ? [
        `DARKROOM_HOST=${host} lets others than this machine call, and everybody would be the admin: tell the service how to ` +
          'know its callers, such as by DARKROOM_TOKENS_FILE, or set DARKROOM_ALLOW_ANONYMOUS=everywhere if that is what you want',
      ]
    : [];
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

import { readFileSync } from 'node:fs';
import type { CommandVariable } from '../../config/command-variables.ts';
import { isLoopback } from '../../domain/loopback.ts';
import type { Environment } from '../environment.ts';
import { UsageError } from '../usage-error.ts';
import { isReadByOthers, profilesPath, readProfiles, type Profile } from './profile-file.ts';

/** What a command is told of the service that it is to call. */
export interface ConnectionOptions {
  readonly endpoint?: string;
  readonly profile?: string;
  readonly tokenFile?: string;
  readonly project?: string;
  readonly caFile?: string;
}

/** Which service is called, and as whom. */
export interface Connection {
  /** The service's origin. */
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly project: string | undefined;
  /** PEM */
  readonly ca: string | undefined;
  /** PEM: the certificate and its key, for services that ask for one. */
  readonly certificate: { readonly cert: string; readonly key: string } | undefined;
  /** What the user should know of it. */
  readonly warnings: readonly string[];
}

/** Where a service listens unless it is told otherwise. */
export const defaultEndpoint = 'http://127.0.0.1:8080';

/**
 * Which service is called: the one of --endpoint, of --profile, of DARKROOM_ENDPOINT, of the profile in use, or the one on this
 * machine, in this order. A profile's token goes to that profile's service and to no other.
 *
 * @throws UsageError for what cannot be, and for files that cannot be read
 */
export function connectionOf(options: ConnectionOptions, environment: Environment): Connection {
  const variable = (name: CommandVariable): string | undefined => environment[name] || undefined;
  const path = profilesPath(environment);
  const { profiles, current } = readProfiles(path);
  const named = options.profile ?? variable('DARKROOM_PROFILE') ?? current;
  const profile = named === undefined ? undefined : profiles[named];
  if (named !== undefined && profile === undefined) {
    throw new UsageError(noSuchProfile(named, Object.keys(profiles)));
  }
  // Whoever names a profile means all of it.
  const isAll = options.profile !== undefined;
  const fromEnvironment = isAll ? undefined : variable('DARKROOM_ENDPOINT');
  const [source, address] =
    options.endpoint !== undefined
      ? ['--endpoint', options.endpoint]
      : fromEnvironment !== undefined
        ? ['DARKROOM_ENDPOINT', fromEnvironment]
        : [`the profile ${named}`, profile?.endpoint ?? defaultEndpoint];
  const endpoint = endpointOf(source, address);
  const own: Partial<Profile> =
    profile !== undefined &&
    URL.canParse(profile.endpoint) &&
    new URL(profile.endpoint).origin === endpoint
      ? profile
      : {};
  const pick = (
    given: string | undefined,
    name: CommandVariable,
    kept: string | undefined,
  ): string | undefined => given ?? (isAll ? undefined : variable(name)) ?? kept;

  const token = tokenOf(options, isAll ? undefined : variable('DARKROOM_TOKEN'), own);
  const caFile = pick(options.caFile, 'DARKROOM_CA_FILE', own.caFile);
  const certFile = pick(undefined, 'DARKROOM_CERT_FILE', own.certFile);
  const keyFile = pick(undefined, 'DARKROOM_KEY_FILE', own.keyFile);
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new UsageError(
      'a certificate needs its key, and a key its certificate: give both files, or none',
    );
  }
  const warnings = [
    ...(own.token !== undefined && isReadByOthers(path)
      ? [`others on this machine may read the token in ${path}: chmod 600 ${path}`]
      : []),
    ...(token !== undefined && isInTheClear(endpoint)
      ? [`the token goes to ${endpoint} in the clear: use https`]
      : []),
  ];
  return {
    endpoint,
    token,
    project: pick(options.project, 'DARKROOM_PROJECT', own.project),
    ca: caFile === undefined ? undefined : contentOf('the authority', caFile),
    certificate:
      certFile === undefined || keyFile === undefined
        ? undefined
        : { cert: contentOf('the certificate', certFile), key: contentOf('the key', keyFile) },
    warnings,
  };
}

/** What is said of a profile that there is not. */
export function noSuchProfile(name: string, names: readonly string[]): string {
  return names.length === 0
    ? `there is no profile ${JSON.stringify(name)}, nor any other: darkroom profile add makes one`
    : `there is no profile ${JSON.stringify(name)}; there are ${names.join(', ')}`;
}

/** An address as an origin. @param source where it was given. @throws UsageError */
export function endpointOf(source: string, text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isOrigin =
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.pathname === '/' &&
    url.search === '' &&
    url.hash === '' &&
    url.username === '' &&
    url.password === '';
  if (!isOrigin) {
    throw new UsageError(
      `${source} has to be an address such as https://images.example.com:8080, not ${JSON.stringify(text)}`,
    );
  }
  return url.origin;
}

/** @throws UsageError */
function tokenOf(
  options: ConnectionOptions,
  fromEnvironment: string | undefined,
  profile: Partial<Profile>,
): string | undefined {
  const file = options.tokenFile;
  if (file !== undefined) {
    return checkedToken(`the file ${file}`, contentOf('the token', file));
  }
  if (fromEnvironment !== undefined) {
    return checkedToken('DARKROOM_TOKEN', fromEnvironment);
  }
  if (profile.tokenFile !== undefined) {
    return checkedToken(`the file ${profile.tokenFile}`, contentOf('the token', profile.tokenFile));
  }
  return profile.token === undefined ? undefined : checkedToken('the profile', profile.token);
}

/** What may stand in a header. Its text is told nowhere. @throws UsageError */
export function checkedToken(source: string, text: string): string {
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new UsageError(
      `the token in ${source} is empty, or has blanks or other characters that no token has`,
    );
  }
  return token;
}

function contentOf(what: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`${what} in ${path} cannot be read: ${(error as Error).message}`);
  }
}

function isInTheClear(endpoint: string): boolean {
  const { protocol, hostname } = new URL(endpoint);
  return protocol === 'http:' && !isLoopback(hostname.replace(/^\[|\]$/g, ''));
}

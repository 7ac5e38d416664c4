import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { KeystoneSession } from '../migration/keystone-login.ts';
import { fixedToken, tokenInFile, type TokenSource } from '../migration/token-source.ts';
import type { Environment } from './environment.ts';
import { UsageError } from './usage-error.ts';

/** The authorities of OS_CACERT besides Node's own; undefined where none is named. @throws UsageError */
export function trustedAuthorities(environment: Environment): readonly string[] | undefined {
  const path = environment['OS_CACERT'];
  if (!path) {
    return undefined;
  }
  try {
    return [...rootCertificates, readFileSync(path, 'utf8')];
  } catch (error) {
    throw new UsageError(`OS_CACERT names ${path}, which cannot be read: ${String(error)}`);
  }
}

/** The Keystone that the environment names, as OpenStack's clients read it; undefined where it names none. @throws UsageError */
export function keystoneSession(environment: Environment): KeystoneSession | undefined {
  const url = environment['OS_AUTH_URL'];
  return url
    ? new KeystoneSession({
        url,
        auth: authOf(environment),
        authorities: trustedAuthorities(environment),
        region: environment['OS_REGION_NAME'] || undefined,
        interface: (environment['OS_INTERFACE'] || 'public').replace(/URL$/, ''),
      })
    : undefined;
}

/** How Glance knows the caller: a token that is given, or Keystone; anybody where neither is. */
export function sourceTokens(
  environment: Environment,
  keystone: KeystoneSession | undefined,
): TokenSource {
  const token = environment['OS_AUTH_TOKEN'] || environment['OS_TOKEN'];
  return token ? fixedToken(token) : (keystone ?? fixedToken(undefined));
}

/** How Darkroom knows the caller. @param file with a token. @throws UsageError */
export function targetTokens(
  environment: Environment,
  file: string | undefined,
  source: TokenSource | undefined,
): TokenSource {
  if (file !== undefined && source !== undefined) {
    throw new UsageError('give --token-file or --same-token, and not both');
  }
  if (file !== undefined) {
    try {
      readFileSync(file);
    } catch (error) {
      throw new UsageError(`--token-file ${file} cannot be read: ${String(error)}`);
    }
    return tokenInFile(file);
  }
  return source ?? fixedToken(environment['DARKROOM_TOKEN'] || undefined);
}

function authOf(environment: Environment): object {
  const given = (name: string): string | undefined => environment[name] || undefined;
  const needed = (name: string): string => {
    const value = given(name);
    if (value === undefined) {
      throw new UsageError(`OS_AUTH_URL is set, and ${name} is not`);
    }
    return value;
  };
  const application = given('OS_APPLICATION_CREDENTIAL_ID');
  if (application !== undefined) {
    const secret = needed('OS_APPLICATION_CREDENTIAL_SECRET');
    return {
      identity: {
        methods: ['application_credential'],
        application_credential: { id: application, secret },
      },
    };
  }
  const token = given('OS_AUTH_TOKEN') ?? given('OS_TOKEN');
  const project = given('OS_PROJECT_ID')
    ? { id: given('OS_PROJECT_ID') }
    : { name: needed('OS_PROJECT_NAME'), domain: domainOf(environment, 'PROJECT') };
  const user = (): object => ({
    password: needed('OS_PASSWORD'),
    ...(given('OS_USER_ID')
      ? { id: given('OS_USER_ID') }
      : { name: needed('OS_USERNAME'), domain: domainOf(environment, 'USER') }),
  });
  return {
    identity:
      token === undefined
        ? { methods: ['password'], password: { user: user() } }
        : { methods: ['token'], token: { id: token } },
    scope: { project },
  };
}

function domainOf(environment: Environment, of: 'USER' | 'PROJECT'): object {
  const name = environment[`OS_${of}_DOMAIN_NAME`];
  return name
    ? { name }
    : { id: environment[`OS_${of}_DOMAIN_ID`] || environment['OS_DEFAULT_DOMAIN'] || 'default' };
}

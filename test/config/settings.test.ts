import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { serviceLinksIn } from '../../src/config/service-links.ts';
import { settingsPage, withSettings } from '../../site/reference/settings-table.ts';
import { readSettings, settingSpecs, SettingsError } from '../../src/config/settings.ts';

test('without any variable every setting has its default', () => {
  expect(readSettings({})).toMatchObject({
    host: '127.0.0.1',
    port: 8080,
    dataDir: './data',
    databaseUrl: undefined,
    logLevel: 'info',
    maxChunkBytes: 4 * 1024 * 1024,
    hosts: [],
    corsOrigins: [],
  });
});

test('a variable that is set to nothing counts as not set', () => {
  expect(readSettings({ DARKROOM_PORT: '', DATABASE_URL: '' })).toMatchObject({
    port: 8080,
    databaseUrl: undefined,
  });
});

test.each([
  ['DARKROOM_PORT', '80a'],
  ['DARKROOM_PORT', '65536'],
  ['DARKROOM_PORT', '-1'],
  ['DARKROOM_MAX_CHUNK_BYTES', '4MiB'],
  ['DARKROOM_LOG_LEVEL', 'loud'],
  ['DARKROOM_HOST', '  '],
  ['DARKROOM_CORS_ORIGINS', 'console.example.com'],
  ['DARKROOM_CORS_ORIGINS', 'https://*'],
  ['DARKROOM_CORS_ORIGINS', 'https://console.example.com/'],
  ['DARKROOM_HOSTS', '127.0.0.1'],
  ['DARKROOM_HOSTS', '::1'],
  ['DARKROOM_HOSTS', 'darkroom:8080'],
  ['DARKROOM_HOSTS', 'cafe:80'],
  ['DARKROOM_HOSTS', 'https://darkroom.example.com'],
  ['DARKROOM_DRAIN_TIMEOUT_MS', '1e4'],
])(
  'a wrong value is refused with its name, what it was and what is allowed: %s=%s',
  (name, value) => {
    expect(() => readSettings({ [name]: value })).toThrow(SettingsError);
    expect(() => readSettings({ [name]: value })).toThrow(`${name} must be `);
    expect(() => readSettings({ [name]: value })).toThrow(`, not ${JSON.stringify(value)}`);
  },
);

/** What kubelet gives a pod for a Service with a named and another port. */
function linksTo(service: string, address: string): Record<string, string> {
  const host = address.includes(':') ? `[${address}]` : address;
  return {
    [`${service}_SERVICE_HOST`]: address,
    [`${service}_SERVICE_PORT`]: '8080',
    [`${service}_SERVICE_PORT_GRPC`]: '8080',
    [`${service}_SERVICE_PORT_HTTP_ALT`]: '8081',
    [`${service}_PORT`]: `tcp://${host}:8080`,
    [`${service}_PORT_8080_TCP`]: `tcp://${host}:8080`,
    [`${service}_PORT_8080_TCP_PROTO`]: 'tcp',
    [`${service}_PORT_8080_TCP_PORT`]: '8080',
    [`${service}_PORT_8080_TCP_ADDR`]: address,
    [`${service}_PORT_8081_UDP`]: `udp://${host}:8081`,
    [`${service}_PORT_8081_UDP_PROTO`]: 'udp',
    [`${service}_PORT_8081_UDP_PORT`]: '8081',
    [`${service}_PORT_8081_UDP_ADDR`]: address,
  };
}

test.each([
  ['darkroom', linksTo('DARKROOM', '10.96.0.17')],
  ['darkroom, by IPv6', linksTo('DARKROOM', 'fd00:10:96::17')],
  ['darkroom-staging', linksTo('DARKROOM_STAGING', '10.96.0.18')],
])('links to a Service of Kubernetes named %s are no settings, and all are named', (_, links) => {
  expect(readSettings(links)).toEqual(readSettings({}));
  expect(serviceLinksIn({ ...links, DARKROOM_HOST: '0.0.0.0', DATABASE_URL: '' })).toEqual(
    Object.keys(links).toSorted(),
  );
  expect(readSettings({ ...links, DARKROOM_PORT: '9090' })).toMatchObject({ port: 9090 });
});

test.each([
  ['DARKROOM_PORT', 'tcp:8080'],
  ['DARKROOM_PORT', 'http://10.0.0.7:8080'],
  ['DARKROOM_PORT', 'tcp://10.0.0.7'],
  ['DARKROOM_SERVICE_HOST', 'images.example.com'],
  ['DARKROOM_SERVICE_PORT', 'grpc'],
  ['DARKROOM_PORT_8080_TCP', '8080'],
  ['DARKROOM_PORT_8080_TCP_PROTO', 'http'],
  ['DARKROOM_PORT_8080_TCP_NAME', 'grpc'],
  ['DARKROOM_PORTS', 'tcp://10.0.0.7:8080'],
  ['DARKROOM_SERVICE_HOSTS', '10.0.0.7'],
])('what only resembles such a link is refused: %s=%s', (name, value) => {
  expect(() => readSettings({ [name]: value })).toThrow(SettingsError);
  expect(serviceLinksIn({ [name]: value })).toEqual([]);
});

test('a wrong DATABASE_URL is refused without telling the password it may hold', () => {
  const url = 'mysql://user:secret@db/darkroom';
  expect(() => readSettings({ DATABASE_URL: url })).toThrow(/DATABASE_URL must be a URL such as/);
  expect(() => readSettings({ DATABASE_URL: url })).not.toThrow(/secret/);
});

const issuer = { DARKROOM_JWT_ISSUER: 'https://id.test', DARKROOM_JWT_AUDIENCE: 'darkroom' };

const keystone = {
  DARKROOM_KEYSTONE_URL: 'https://keystone.test:5000/v3',
  DARKROOM_KEYSTONE_USER: 'darkroom',
  DARKROOM_KEYSTONE_SECRET_FILE: 'secret',
};

test.each([
  [
    { DARKROOM_HOST: '0.0.0.0' },
    /DARKROOM_HOST=0\.0\.0\.0 lets others .* DARKROOM_ALLOW_ANONYMOUS/,
  ],
  [{ DARKROOM_HOST: 'images.test' }, /DARKROOM_HOST=images\.test lets others/],
  [issuer, /one of DARKROOM_JWT_JWKS_URL and DARKROOM_JWT_JWKS_FILE/],
  [
    { ...issuer, DARKROOM_JWT_JWKS_URL: 'https://id.test/keys', DARKROOM_JWT_JWKS_FILE: 'keys' },
    /one of DARKROOM_JWT_JWKS_URL and DARKROOM_JWT_JWKS_FILE/,
  ],
  [
    { DARKROOM_JWT_ISSUER: 'https://id.test', DARKROOM_JWT_JWKS_FILE: 'keys' },
    /DARKROOM_JWT_AUDIENCE is missing/,
  ],
  [{ DARKROOM_JWT_AUDIENCE: 'darkroom' }, /DARKROOM_JWT_ISSUER is missing/],
  [{ DARKROOM_JWT_JWKS_FILE: 'keys' }, /DARKROOM_JWT_ISSUER is missing/],
  [{ DARKROOM_JWT_JWKS_URL: 'http://id.test/keys' }, /DARKROOM_JWT_JWKS_URL must be an https URL/],
  [{ DARKROOM_JWT_ALGORITHMS: 'RS256,HS256' }, /DARKROOM_JWT_ALGORITHMS must be a list of RS256/],
  [{ DARKROOM_CERTIFICATE_IDENTITIES_FILE: 'c' }, /needs DARKROOM_TLS_CLIENT_CA_FILE/],
  [{ DARKROOM_JWT_ALGORITHMS: 'none' }, /DARKROOM_JWT_ALGORITHMS must be/],
  [{ DARKROOM_KEYSTONE_USER: 'darkroom' }, /DARKROOM_KEYSTONE_URL is missing/],
  [{ DARKROOM_KEYSTONE_SECRET_FILE: 'secret' }, /DARKROOM_KEYSTONE_URL is missing/],
  [{ ...keystone, DARKROOM_KEYSTONE_USER: '' }, /one of DARKROOM_KEYSTONE_USER and/],
  [
    { ...keystone, DARKROOM_KEYSTONE_APPLICATION_CREDENTIAL: 'a1' },
    /one of DARKROOM_KEYSTONE_USER and DARKROOM_KEYSTONE_APPLICATION_CREDENTIAL/,
  ],
  [{ ...keystone, DARKROOM_KEYSTONE_SECRET_FILE: '' }, /DARKROOM_KEYSTONE_SECRET_FILE is missing/],
  [
    { ...keystone, DARKROOM_KEYSTONE_URL: 'http://keystone.test:5000/v3' },
    /in the clear: give it https, or set DARKROOM_KEYSTONE_PLAINTEXT=allowed-on-any-network/,
  ],
  [{ ...keystone, DARKROOM_KEYSTONE_URL: 'keystone.test' }, /KEYSTONE_URL must be an http or/],
  [
    { ...keystone, DARKROOM_KEYSTONE_URL: 'https://u:p@k.test/' },
    /KEYSTONE_URL must be an http or/,
  ],
  [{ ...keystone, DARKROOM_KEYSTONE_ROLES: 'admin' }, /DARKROOM_KEYSTONE_ROLES must be a list/],
  [{ ...keystone, DARKROOM_KEYSTONE_ROLES: 'admin=owner' }, /DARKROOM_KEYSTONE_ROLES must be/],
])('settings of identity that do not go together are refused: %j', (env, problem) => {
  expect(() => readSettings(env)).toThrow(SettingsError);
  expect(() => readSettings(env)).toThrow(problem);
});

test.each([
  { DARKROOM_HOST: '127.0.0.2' },
  { DARKROOM_HOST: 'localhost' },
  { DARKROOM_HOST: '0.0.0.0', DARKROOM_TOKENS_FILE: 'tokens' },
  { DARKROOM_HOST: '0.0.0.0', DARKROOM_ALLOW_ANONYMOUS: 'everywhere' },
  { DARKROOM_HOST: '0.0.0.0', ...issuer, DARKROOM_JWT_JWKS_FILE: 'keys' },
  { ...issuer, DARKROOM_JWT_JWKS_URL: 'http://127.0.0.1:8081/keys' },
  { DARKROOM_HOST: '0.0.0.0', ...keystone },
  { ...keystone, DARKROOM_KEYSTONE_URL: 'http://localhost:5000' },
  {
    ...keystone,
    DARKROOM_KEYSTONE_URL: 'http://keystone.test/identity',
    DARKROOM_KEYSTONE_PLAINTEXT: 'allowed-on-any-network',
  },
  { ...keystone, DARKROOM_KEYSTONE_ROLES: '_member_ = member,a=b=reader' },
])('settings of identity that go together are taken: %j', (env) => {
  const plaintext = { DARKROOM_PLAINTEXT: 'allowed-on-any-network' };
  expect(readSettings({ ...plaintext, ...env })).toMatchObject({ port: 8080 });
});

test.each([
  [
    { DARKROOM_TLS_CERT_FILE: 'a' },
    /DARKROOM_TLS_KEY_FILE must be set where DARKROOM_TLS_CERT_FILE is.*both or none/,
  ],
  [
    { DARKROOM_TLS_KEY_FILE: 'a' },
    /DARKROOM_TLS_CERT_FILE must be set where DARKROOM_TLS_KEY_FILE is/,
  ],
  [
    { DARKROOM_TLS_CLIENT_CA_FILE: 'a' },
    /DARKROOM_TLS_CLIENT_CA_FILE needs DARKROOM_TLS_CERT_FILE/,
  ],
  [
    {
      DARKROOM_TLS_CERT_FILE: 'a',
      DARKROOM_TLS_KEY_FILE: 'b',
      DARKROOM_TLS_CLIENT_AUTH: 'required',
    },
    /DARKROOM_TLS_CLIENT_AUTH is required, but nothing says whose.*DARKROOM_TLS_CLIENT_CA_FILE/,
  ],
])('settings of TLS that do not go together are refused: %j', (env, message) => {
  expect(() => readSettings(env)).toThrow(message);
});

test.each(['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1', 'localhost', 'LOCALHOST'])(
  'plaintext is spoken on loopback without further ado: %s',
  (host) => {
    const env = { DARKROOM_HOST: host, DARKROOM_ALLOW_ANONYMOUS: 'everywhere' };
    expect(readSettings(env)).toMatchObject({ host });
  },
);

test.each([
  '0.0.0.0',
  '::',
  '::ffff:10.0.0.1',
  '10.0.0.1',
  '128.0.0.1',
  'localhost.example.com',
  'images',
])('plaintext beyond loopback is refused unless it is said: %s', (host) => {
  const env = { DARKROOM_HOST: host, DARKROOM_ALLOW_ANONYMOUS: 'everywhere' };
  expect(() => readSettings(env)).toThrow(/DARKROOM_PLAINTEXT=allowed-on-any-network/);
  expect(readSettings({ ...env, DARKROOM_PLAINTEXT: 'allowed-on-any-network' })).toMatchObject({
    host,
  });
  const tls = { DARKROOM_TLS_CERT_FILE: 'a', DARKROOM_TLS_KEY_FILE: 'b' };
  expect(readSettings({ ...env, ...tls })).toMatchObject({ host });
});

test('all wrong values are told at once, and so is a setting that does not exist', () => {
  const wrong = { DARKROOM_PORT: 'x', DARKROOM_LOG_LEVEL: 'y', DARKROOM_PROT: '1' };
  expect(() => readSettings(wrong)).toThrow(
    /DARKROOM_PROT is not a setting[\s\S]*DARKROOM_PORT[\s\S]*DARKROOM_LOG_LEVEL/,
  );
});

test('docs/settings.md has every setting, with its default and what is allowed, as `npm run generate` writes it', async () => {
  const page = await readFile(new URL(`../../${settingsPage}`, import.meta.url), 'utf8');
  expect(page, 'run `npm run generate`').toBe(withSettings(page));
  for (const { env, description } of Object.values(settingSpecs)) {
    const rows = page.split('\n').filter((line) => line.startsWith(`| \`${env}\` |`));
    expect(rows).toHaveLength(1);
    expect(rows[0]).toContain(description);
  }
});

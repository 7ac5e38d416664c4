import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

/**
 * A real OpenID provider, panva's oidc-provider, in a process of its own. Its first argument is JSON: port, audience, private
 * keys, and clients that get tokens by their secrets (client credentials, RFC 6749, section 4.4) with roles as scopes.
 */
const { port, audience, keys, clients } = JSON.parse(process.argv[2] ?? '{}');
const issuer = `http://127.0.0.1:${port}`;
const projects = new Map(clients.map(({ id, project }) => [id, project]));
const [{ alg }] = keys;

const provider = new Provider(issuer, {
  jwks: { keys },
  scopes: ['darkroom:reader', 'darkroom:member', 'darkroom:admin', 'darkroom:service'],
  clients: clients.map(({ id, secret, scope }) => ({
    client_id: id,
    client_secret: secret,
    scope,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    id_token_signed_response_alg: alg,
  })),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      getResourceServerInfo: () => ({
        scope: 'darkroom:reader darkroom:member darkroom:admin darkroom:service',
        audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg } },
      }),
    },
  },
  extraTokenClaims: (_, token) => ({ cloud: { project: projects.get(token.clientId) } }),
});

createServer(provider.callback()).listen(port, '127.0.0.1', () => console.log('listening'));

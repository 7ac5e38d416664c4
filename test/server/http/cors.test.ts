import { describe, expect, it } from 'vitest';
import { startFakeServer, type FakeServer } from '../fake-server.ts';

const origin = 'https://console.example.com';
const path = '/darkroom.v1.ImageService/GetImage';

async function start(corsOrigins: readonly string[]): Promise<FakeServer> {
  return startFakeServer({
    settings: { corsOrigins },
    images: {
      getImage(_, context) {
        context.responseHeader.set('etag', 'W/"1"');
        return {};
      },
    },
  });
}

function preflight(server: FakeServer, from: string): Promise<Response> {
  return fetch(server.url + path, {
    method: 'OPTIONS',
    headers: {
      origin: from,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'connect-protocol-version,content-type,x-request-id',
    },
  });
}

function call(server: FakeServer, from: string): Promise<Response> {
  return fetch(server.url + path, {
    method: 'POST',
    body: '{}',
    headers: { origin: from, 'content-type': 'application/json' },
  });
}

function names(header: string | null): string[] {
  return (header ?? '').toLowerCase().split(/\s*,\s*/);
}

describe('a preflight', () => {
  it('allows what the protocols and their callers need', async () => {
    const { status, headers } = await preflight(await start(['*']), origin);
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(names(headers.get('access-control-allow-methods'))).toEqual(
      expect.arrayContaining(['get', 'post']),
    );
    expect(names(headers.get('access-control-allow-headers'))).toEqual(
      expect.arrayContaining([
        'content-type',
        'connect-protocol-version',
        'connect-timeout-ms',
        'x-grpc-web',
        'x-user-agent',
        'x-request-id',
      ]),
    );
    expect(Number(headers.get('access-control-max-age'))).toBeGreaterThan(0);
  });

  it('allows a listed origin and no other', async () => {
    const server = await start([origin, 'http://localhost:3000']);
    const listed = await preflight(server, origin);
    expect(listed.headers.get('access-control-allow-origin')).toBe(origin);
    expect(listed.headers.get('vary')).toBe('Origin');
    const other = await preflight(server, 'https://evil.example');
    expect(other.status).toBe(403);
    expect(other.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('allows no origin where none is listed', async () => {
    const { status, headers } = await preflight(await start([]), origin);
    expect([status, headers.get('access-control-allow-origin')]).toEqual([403, null]);
  });
});

describe('an answer', () => {
  it('shows a page the headers that it may need', async () => {
    const { headers } = await call(await start(['*']), origin);
    expect(headers.get('access-control-allow-origin')).toBe('*');
    expect(headers.get('etag')).toBe('W/"1"');
    expect(names(headers.get('access-control-expose-headers'))).toEqual(
      expect.arrayContaining([
        'etag',
        'x-request-id',
        'grpc-status',
        'grpc-message',
        'grpc-status-details-bin',
      ]),
    );
  });

  it('is shown to listed origins only', async () => {
    const server = await start([origin]);
    const listed = await call(server, origin);
    expect(listed.headers.get('access-control-allow-origin')).toBe(origin);
    expect(listed.headers.get('vary')).toBe('Origin');
    const other = await call(server, 'https://evil.example');
    expect(other.status).toBe(403);
    expect(other.headers.get('access-control-allow-origin')).toBeNull();
  });

  it('is shown where it is an error, too', async () => {
    const server = await start(['*']);
    const response = await fetch(`${server.url}/nothing`, { headers: { origin } });
    expect(response.status).toBe(404);
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
  });
});

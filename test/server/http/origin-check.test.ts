import { describe, expect, it } from 'vitest';
import { transportOf, transports } from '../fake-server.ts';
import { ask, expectDone, expectRefusals, startCounting } from './callers.ts';

const ours = 'https://console.example.com';
const theirs = 'https://evil.example';
const deletion = '/darkroom.v1.ImageService/DeleteImage';

describe('a page of an origin that is not listed', () => {
  it.each(transports)('is refused in $protocol over HTTP/$httpVersion', async (kind) => {
    const server = await startCounting({ corsOrigins: [ours] });
    await expectRefusals(server, transportOf(server.url, kind, undefined, { origin: theirs }), {
      code: 'PermissionDenied',
      reason: 'ORIGIN_NOT_ALLOWED',
      message:
        `a page of the origin "${theirs}" may not call the service: have its operator add the page's origin to ` +
        'DARKROOM_CORS_ORIGINS',
    });
  });

  it.each([
    ['a form', 'application/x-www-form-urlencoded', 'imageId=x'],
    ['a form of files', 'multipart/form-data; boundary=x', '--x--'],
    ['a form of text', 'text/plain', '{"imageId":"x"}'],
    ['a beacon', '', '{"imageId":"x"}'],
    ['JSON', 'application/json', '{"imageId":"x"}'],
    ['JSON that says more', 'application/json; charset=utf-8', '{"imageId":"x"}'],
    ['gRPC-Web as text', 'application/grpc-web-text', 'AAAAAAA='],
  ])('changes nothing by %s, whatever a browser says of it', async (_, contentType, body) => {
    const server = await startCounting({ corsOrigins: [ours] });
    const said: Record<string, string>[] = [
      { origin: theirs },
      { origin: 'null' },
      { origin: '' },
      { origin: `${ours}.evil.example` },
      { origin: `${ours}, ${theirs}` },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' },
      { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors' },
      {
        'sec-fetch-site': 'cross-site',
        'sec-fetch-mode': 'navigate',
        'sec-fetch-dest': 'document',
      },
    ];
    for (const headers of said) {
      const type = contentType === '' ? {} : { 'content-type': contentType };
      const answer = await ask(server, deletion, { ...headers, ...type }, body);
      expect([headers, answer.headers['access-control-allow-origin']]).toEqual([
        headers,
        undefined,
      ]);
      if (!contentType.startsWith('application/grpc')) {
        expect([headers, answer.status]).toEqual([headers, 403]);
      }
      const told = `${answer.body}${String(answer.headers['grpc-message'])}`;
      expect(told).toContain('DARKROOM_CORS_ORIGINS');
    }
    expect(server.done()).toBe(0);
  });

  it('reads nothing of plain HTTP, also without CORS', async () => {
    const server = await startCounting({ corsOrigins: [ours] });
    for (const headers of [
      { origin: theirs },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'image' },
      { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' },
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' },
    ]) {
      const answer = await ask(server, '/v2/things', headers);
      expect([headers, answer.status]).toEqual([headers, 403]);
      expect(JSON.parse(answer.body)).toMatchObject({
        code: 'PERMISSION_DENIED',
        reason: 'ORIGIN_NOT_ALLOWED',
      });
    }
    expect(server.done()).toBe(0);
  });

  it('may hold a link that is followed', async () => {
    const server = await startCounting({});
    const answer = await ask(server, '/v2/things', {
      'sec-fetch-site': 'cross-site',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document',
    });
    expect([answer.status, answer.body]).toEqual([200, 'things']);
  });
});

describe('calls are done', () => {
  it.each(transports)('of listed pages, in $protocol over HTTP/$httpVersion', async (kind) => {
    const server = await startCounting({ corsOrigins: [ours] });
    await expectDone(server, transportOf(server.url, kind, undefined, { origin: ours }));
  });

  it.each(transports)(
    'of any page where it is said so, in $protocol over HTTP/$httpVersion',
    async (kind) => {
      const server = await startCounting({ corsOrigins: ['*'] });
      await expectDone(server, transportOf(server.url, kind, undefined, { origin: theirs }));
    },
  );

  it('of pages of the service itself, also where TLS ends before it', async () => {
    const server = await startCounting({ hosts: ['darkroom.example.com'] });
    const url = `http://darkroom.example.com:${server.port}`;
    for (const kind of transports) {
      for (const origin of [url, url.replace('http:', 'https:')]) {
        await expectDone(server, transportOf(url, kind, undefined, { origin }));
      }
    }
  });

  it.each(['same-origin', 'none'])('of what a browser says is %s', async (site) => {
    const server = await startCounting({});
    const answer = await ask(server, '/v2/things', { 'sec-fetch-site': site });
    expect(answer.status).toBe(200);
  });
});

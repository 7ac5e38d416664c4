import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import * as http from 'node:http';
import * as https from 'node:https';
import { text } from 'node:stream/consumers';
import type { TLSSocket } from 'node:tls';
import { createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ImageService } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { Health } from '../../../gen/grpc/health/v1/health_pb.ts';
import { standingByCertificate } from '../../../src/server/transport/client-certificate.ts';
import {
  peerCertificate,
  type PeerCertificate,
} from '../../../src/server/transport/peer-certificate.ts';
import {
  canMakeCertificates,
  Certificates,
  ChangingTls,
  type Identity,
} from '../../support/certificates.ts';
import { CleanUps } from '../../support/clean-ups.ts';
import { failureOf } from '../../support/failures.ts';
import {
  startFakeServer,
  transports,
  type FakeServer,
  type FakeServerOptions,
  type TransportKind,
} from '../fake-server.ts';

describe.skipIf(!canMakeCertificates)('certificates of clients', () => {
  let certificates: Certificates;
  let serverAuthority: Identity;
  let server: Identity;
  let authority: Identity;
  let alice: Identity;
  let expired: Identity;
  let stranger: Identity;
  let forServers: Identity;

  beforeAll(async () => {
    const cleanUps = new CleanUps();
    certificates = await Certificates.open();
    cleanUps.defer(certificates.remove);
    serverAuthority = await certificates.authority('authority of servers');
    server = await certificates.server(serverAuthority, {
      names: 'DNS:localhost,DNS:*.images.example,IP:127.0.0.1',
    });
    authority = await certificates.authority('authority');
    alice = await certificates.issue(authority, 'alice', {
      names: 'DNS:alice.example,URI:spiffe://darkroom/alice,email:alice@example.com,IP:10.0.0.1',
    });
    expired = await certificates.issue(authority, 'late', { days: -1 });
    stranger = await certificates.issue(await certificates.authority('another'), 'mallory');
    forServers = await certificates.issue(authority, 'server', {
      extensions: ['extendedKeyUsage=serverAuth'],
    });
    return cleanUps.run;
  });

  /** What the server knows of who has called it, call by call. */
  interface Knowing extends FakeServer {
    readonly callers: (PeerCertificate | undefined)[];
  }

  async function start(
    clientAuth: 'required' | 'optional' | undefined,
    options: Partial<FakeServerOptions> = {},
  ): Promise<Knowing> {
    const callers: (PeerCertificate | undefined)[] = [];
    const started = await startFakeServer({
      tls: new ChangingTls(server, clientAuth && authority),
      images: { deleteImage: () => ({}) },
      httpRoutes: [
        {
          method: 'GET',
          path: '/who',
          handle({ request, response }) {
            callers.push(peerCertificate(request));
            response.end('you');
          },
        },
      ],
      ...options,
      settings: { tlsClientAuth: clientAuth, ...options.settings },
    });
    return { ...started, callers };
  }

  function transportTo(
    { port }: FakeServer,
    { protocol, httpVersion }: TransportKind,
    who: Identity | undefined,
    name = 'localhost',
  ): Transport {
    const options = {
      baseUrl: `https://${name}:${port}`,
      nodeOptions: {
        ca: serverAuthority.cert,
        ...(who && { cert: who.cert, key: who.key }),
        lookup: toLoopback,
      },
    };
    switch (protocol) {
      case 'grpc':
        return createGrpcTransport(options);
      case 'grpc-web':
        return createGrpcWebTransport({ ...options, httpVersion });
      case 'connect':
        return createConnectTransport({ ...options, httpVersion });
    }
  }

  const toLoopback = ((
    _: string,
    { all }: { all?: boolean },
    callback: (...told: unknown[]) => void,
  ) =>
    all === true
      ? callback(null, [{ address: '127.0.0.1', family: 4 }])
      : callback(null, '127.0.0.1', 4)) as never;

  function calling(started: FakeServer, kind: TransportKind, who?: Identity): Promise<unknown> {
    return createClient(ImageService, transportTo(started, kind, who)).deleteImage({});
  }

  async function get(
    { port }: FakeServer,
    path: string,
    who?: Identity,
    headers: http.OutgoingHttpHeaders = {},
    session?: Buffer,
  ): Promise<{ status: number | undefined; body: string; tickets: Buffer[]; isReused: boolean }> {
    const agent = new https.Agent({ maxCachedSessions: 0 });
    onTestFinished(() => agent.destroy());
    const request = https.request({
      port,
      host: '127.0.0.1',
      path,
      servername: 'localhost',
      headers: { host: 'localhost', ...headers },
      agent,
      ca: serverAuthority.cert,
      ...(who && { cert: who.cert, key: who.key }),
      ...(session && { session }),
    });
    request.end();
    const [socket] = (await once(request, 'socket')) as [TLSSocket];
    const tickets: Buffer[] = [];
    socket.on('session', (ticket: Buffer) => tickets.push(ticket));
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    return {
      status: response.statusCode,
      body: await text(response),
      tickets,
      isReused: socket.isSessionReused(),
    };
  }

  describe.each(transports)('in $protocol over HTTP/$httpVersion', (kind) => {
    it('let calls be done, and those of none, of strangers and of late ones not', async () => {
      const started = await start('required');
      await calling(started, kind, alice);
      const refusal = { code: 'PermissionDenied', reason: 'CLIENT_CERTIFICATE_REFUSED' };
      for (const [who, why] of [
        [undefined, /asks for a certificate of the client, and none was shown: show one/],
        [
          stranger,
          /"CN=mallory" is not vouched for by any authority of DARKROOM_TLS_CLIENT_CA_FILE/,
        ],
        [expired, /"CN=late" has expired.*renew it/],
        [forServers, /"CN=server" is not for clients.*clientAuth/],
      ] as const) {
        expect(await failureOf(calling(started, kind, who))).toMatchObject({
          ...refusal,
          message: expect.stringMatching(why) as unknown,
        });
      }
    });

    it('are not needed where they are optional, but must be good', async () => {
      const started = await start('optional');
      await calling(started, kind, alice);
      await calling(started, kind);
      for (const who of [stranger, expired]) {
        expect(await failureOf(calling(started, kind, who))).toMatchObject({
          reason: 'CLIENT_CERTIFICATE_REFUSED',
        });
      }
    });

    it('are not asked for without an authority for them', async () => {
      await calling(await start(undefined), kind, stranger);
    });

    it('are not needed for health', async () => {
      const started = await start('required');
      for (const who of [undefined, alice]) {
        await createClient(Health, transportTo(started, kind, who)).check({});
      }
    });

    it('may call by the names of the service’s own certificate', async () => {
      const started = await start('required');
      const client = createClient(
        ImageService,
        transportTo(started, kind, alice, 'eu.images.example'),
      );
      await client.deleteImage({});
    });
  });

  it('are told to who asks of a request, over both versions of HTTP', async () => {
    const started = await start('optional');
    await get(started, '/who', alice);
    const { fingerprint256, validToDate } = new X509Certificate(alice.cert);
    const known = {
      commonName: 'alice',
      dns: ['alice.example'],
      uris: ['spiffe://darkroom/alice'],
      emails: ['alice@example.com'],
      ips: ['10.0.0.1'],
      fingerprint256,
      validUntil: validToDate,
    };
    expect(started.callers).toEqual([known]);
    await get(started, '/who');
    expect(started.callers).toEqual([known, undefined]);

    const { connect } = await import('node:http2');
    const session = connect(`https://127.0.0.1:${started.port}`, {
      ca: serverAuthority.cert,
      cert: alice.cert,
      key: alice.key,
    });
    onTestFinished(() => session.destroy());
    expect(await text(session.request({ ':path': '/who' }))).toBe('you');
    expect(started.callers).toEqual([known, undefined, known]);
  });

  it('through an authority in between are good if that is shown as well', async () => {
    const between = await certificates.authority('between', authority);
    const bob = await certificates.issue(between, 'bob');
    const started = await start('required');
    expect((await get(started, '/who', bob)).status).toBe(403);
    expect((await get(started, '/who', { ...bob, cert: bob.cert + between.cert })).status).toBe(
      200,
    );
    expect(started.callers).toMatchObject([{ commonName: 'bob' }]);
  });

  describe('in a session that is resumed', () => {
    it('are those with which it was begun', async () => {
      const started = await start('required');
      const first = await get(started, '/who', alice);
      const again = await get(started, '/who', undefined, {}, first.tickets.at(-1));
      expect(again).toMatchObject({ status: 200, isReused: true });
      expect(started.callers.map((caller) => caller?.commonName)).toEqual(['alice', 'alice']);
    });

    it.each([
      ['none', undefined],
      ['that of a stranger', 'stranger'],
    ])('do not become good: %s', async (_, name) => {
      const started = await start('required');
      const who = name === undefined ? undefined : stranger;
      const first = await get(started, '/who', who);
      expect(first.status).toBe(403);
      const again = await get(started, '/who', undefined, {}, first.tickets.at(-1));
      expect(again).toMatchObject({ status: 403, isReused: true });
      expect(started.callers).toEqual([]);
    });
  });

  it('in a session that is resumed are held against the clock again', () => {
    // What a socket is after its handshake: the verdict is that of the day on which the session was begun.
    const socketOf = ({ cert }: Identity): TLSSocket =>
      ({ authorized: true, getPeerX509Certificate: () => new X509Certificate(cert) }) as TLSSocket;
    expect(standingByCertificate(socketOf(alice), 'optional').refusal).toBeUndefined();
    expect(standingByCertificate(socketOf(expired), 'optional')).toMatchObject({
      refusal: { reason: 'CLIENT_CERTIFICATE_REFUSED' },
    });
  });

  describe('a client that speaks without TLS', () => {
    it('is told so over HTTP/1.1, for health too', async () => {
      const started = await start(undefined);
      for (const path of ['/who', '/healthz']) {
        const request = http.get({ port: started.port, host: '127.0.0.1', path });
        const [response] = (await once(request, 'response')) as [IncomingMessage];
        expect(response.statusCode).toBe(400);
        expect(JSON.parse(await text(response))).toMatchObject({
          reason: 'TLS_REQUIRED',
          message: expect.stringContaining('https://') as unknown,
        });
      }
      expect(started.callers).toEqual([]);
    });

    it('is told so over gRPC', async () => {
      const started = await start(undefined);
      const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${started.port}` });
      const call = createClient(ImageService, transport).deleteImage({});
      expect(await failureOf(call)).toMatchObject({
        code: 'FailedPrecondition',
        reason: 'TLS_REQUIRED',
      });
    });
  });

  it('pages of the service are of https, and those without TLS of another origin', async () => {
    const started = await start(undefined);
    const host = `127.0.0.1:${started.port}`;
    expect(
      (await get(started, '/who', undefined, { host, origin: `https://${host}` })).status,
    ).toBe(200);
    const { status, body } = await get(started, '/who', undefined, {
      host,
      origin: `http://${host}`,
    });
    expect([status, JSON.parse(body)]).toEqual([
      403,
      expect.objectContaining({ reason: 'ORIGIN_NOT_ALLOWED' }),
    ]);
    expect((await get(started, '/who', undefined, { host: 'evil.example' })).status).toBe(403);
  });
});

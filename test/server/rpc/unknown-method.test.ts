import * as http2 from 'node:http2';
import { once } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import { createClient, Code } from '@connectrpc/connect';
import { expect, it, onTestFinished } from 'vitest';
import { Health } from '../../../gen/grpc/health/v1/health_pb.ts';
import { startFakeServer, transportOf, transports } from '../fake-server.ts';

it('gives gRPC status 12 in a response of headers only', async () => {
  const server = await startFakeServer();
  const session = http2.connect(server.url);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': '/darkroom.v1.ImageService/Nothing',
    'content-type': 'application/grpc',
  });
  const [headers, flags] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders, number];
  expect(headers).toMatchObject({
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': '12',
    'grpc-message': expect.stringContaining('%2Fdarkroom.v1.ImageService%2FNothing') as unknown,
    'x-request-id': expect.any(String) as unknown,
  });
  expect(flags & http2.constants.NGHTTP2_FLAG_END_STREAM).not.toBe(0);
});

it('is UNIMPLEMENTED to grpc-js, before and after all of a large request', async () => {
  const server = await startFakeServer();
  const client = new grpc.Client(
    server.url.slice('http://'.length),
    grpc.credentials.createInsecure(),
  );
  onTestFinished(() => client.close());
  for (const size of [0, 8 << 20]) {
    const error = await new Promise<grpc.ServiceError | null>((resolve) => {
      client.makeUnaryRequest(
        '/no.such.Service/Method',
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        Buffer.alloc(size),
        resolve,
      );
    });
    expect(error).toMatchObject({ code: grpc.status.UNIMPLEMENTED });
  }
});

it.each(transports)('is UNIMPLEMENTED in $protocol over HTTP/$httpVersion', async (kind) => {
  const server = await startFakeServer();
  const unknown = { ...Health, method: { ...Health.method } };
  const transport = transportOf(`${server.url}/nowhere`, kind);
  await expect(createClient(unknown, transport).check({})).rejects.toMatchObject({
    code: Code.Unimplemented,
  });
});

it('gives Connect 404 with the error as JSON', async () => {
  const server = await startFakeServer();
  const response = await fetch(`${server.url}/darkroom.v1.ImageService/Nothing`, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json' },
  });
  expect(response.status).toBe(404);
  expect(await response.json()).toMatchObject({ code: 'unimplemented' });
});

it('says UNIMPLEMENTED for a method that is known but not made', async () => {
  const server = await startFakeServer();
  const response = await fetch(`${server.url}/darkroom.v1.ImageService/GetImage`, {
    method: 'POST',
    body: '{}',
    headers: { 'content-type': 'application/json' },
  });
  expect(response.status).toBe(501);
  expect(await response.text()).toContain('UNSUPPORTED');
});

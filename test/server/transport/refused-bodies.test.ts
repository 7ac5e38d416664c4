import { once } from 'node:events';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { RequestBody } from '../../../src/server/transport/request-body.ts';
import { discardRestAfter } from '../../../src/server/transport/response-writer.ts';

const discardMs = 100;

/** A request whose server has refused it at once, and which has sent nothing of its body yet. */
async function refused(method: string, headers: http.OutgoingHttpHeaders) {
  const taken = Promise.withResolvers<http.IncomingMessage>();
  const server = http.createServer((request, response) => {
    discardRestAfter(request, response, new RequestBody(request), discardMs);
    taken.resolve(request);
    response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const request = http.request({ port, host: '127.0.0.1', method, headers });
  request.on('error', () => {});
  request.flushHeaders();
  onTestFinished(() => {
    request.destroy();
    server.close();
  });
  return { request, taken: await taken.promise };
}

/** Sends a little again and again, until the server has ended the connection or so many were sent. */
async function sendOn(request: http.ClientRequest, taken: http.IncomingMessage, times: number) {
  for (let sent = 0; sent < times; sent += 1) {
    if (taken.destroyed) {
      return sent;
    }
    request.write('bytes');
    await new Promise((resolve) => setTimeout(resolve, discardMs / 5));
  }
  return times;
}

test('a PUT in chunks that was refused is read for as long as it goes on', async () => {
  const { request, taken } = await refused('PUT', { 'transfer-encoding': 'chunked' });
  expect(await sendOn(request, taken, 40)).toBe(40);
  request.end();
  await once(taken, 'close');
  expect(taken.complete).toBe(true);
});

test('and is not waited for when it falls silent', async () => {
  const { request, taken } = await refused('PUT', { 'transfer-encoding': 'chunked' });
  await sendOn(request, taken, 2);
  await once(taken, 'close');
  expect(taken.complete).toBe(false);
});

test.each([
  ['POST', { 'transfer-encoding': 'chunked' }],
  ['PUT', { 'content-length': 1_000_000 }],
])('another refused %s is read for a moment only', async (method, headers) => {
  const { request, taken } = await refused(method, headers);
  expect(await sendOn(request, taken, 40)).toBeLessThan(40);
});

test('of HTTP/2, nothing is left to wait with the answer once the body has been read to its end', async () => {
  const counts = Promise.withResolvers<{ before: number; begun: number; ended: number }>();
  const server = http2.createServer((request, response) => {
    const { stream } = request;
    const count = (): number =>
      stream.listenerCount('finish') + stream.listenerCount('wantTrailers');
    const before = count();
    const body = new RequestBody(request);
    discardRestAfter(request, response, body);
    const begun = count();
    void Array.fromAsync(body).then(() => {
      counts.resolve({ before, begun, ended: count() });
      response.end();
    }, counts.reject);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  onTestFinished(() => {
    client.destroy();
    server.close();
  });
  client.request({ ':method': 'POST' }).resume().end('all of it');
  const { before, begun, ended } = await counts.promise;
  expect(begun).toBe(before + 2);
  expect(ended).toBe(before);
});

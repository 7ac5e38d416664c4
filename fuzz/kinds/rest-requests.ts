import type { Random } from '../../chaos/random.ts';
import { mutated } from '../mutation.ts';
import { sendRaw } from '../raw-client.ts';
import type { FuzzCase } from '../target.ts';

const methods = [
  'GET',
  'GET',
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'get',
  'X',
];

/** Requests of HTTP/1.1 to the REST view, with odd paths, queries and headers, and some that are none. */
export const restRequests: FuzzCase = ({ port, ids, authorization }, random) => {
  const method = random.pick(methods);
  const lines = [
    `${method} ${path(random, ids)} HTTP/1.1`,
    `host: ${random.chance(0.9) ? 'localhost' : random.pick(['', 'a b', 'evil.example', '[::1', 'localhost:x'])}`,
    ...(random.chance(0.9) ? [`authorization: ${authorization}`] : []),
    ...Array.from({ length: random.int(0, 4) }, () => random.pick(oddHeaders)),
  ];
  const body = random.chance(0.2) ? random.bytes(random.int(0, 50)) : Buffer.of();
  const request = Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
  const sent = random.chance(0.4) ? mutated(random, request) : request;
  return sendRaw(port, `${method} over HTTP/1.1`, sent);
};

const oddHeaders = [
  'range: bytes=0-',
  'range: bytes=-0',
  'range: bytes=5-1',
  'range: bytes=0-0,2-3',
  'range: lines=1-2',
  'range: bytes=99999999999999999999-',
  'if-none-match: *',
  'if-none-match: "a", W/"b',
  'if-match: "x"',
  'if-range: "x"',
  'if-range: Thu, 01 Jan 1970 00:00:00 GMT',
  'content-length: 5',
  'content-length: -1',
  'content-length: 99999999999999999999',
  'transfer-encoding: chunked',
  'transfer-encoding: gzip, chunked',
  'expect: 100-continue',
  'expect: nothing',
  'connection: upgrade',
  'upgrade: h2c',
  'accept-encoding: gzip',
  'x-request-id: \u00e9',
  'origin: null',
  'cookie: a=b',
  ' folded: line',
  'no colon',
];

function path(random: Random, ids: readonly string[]): string {
  const id = random.chance(0.8)
    ? random.pick(ids)
    : random.pick(['', '..', '%2e%2e', '%', '%00', 'x', '*']);
  const place = random.pick([
    '/',
    '/v2',
    '/v2/tasks',
    `/v2/tasks/${id}`,
    `/v2/images/${id}`,
    `/v2/images/${id}/file`,
    `/v2/images/${id}/tasks`,
    '/v2/schemas/task',
    '/healthz',
    '/readyz',
    '/v2/../etc/passwd',
    '//v2//tasks',
    '*',
    'http://localhost/v2/tasks',
  ]);
  const query = Array.from({ length: random.int(0, 3) }, () => {
    const key = random.pick([
      'limit',
      'marker',
      'marker_value',
      'sort_key',
      'sort_dir',
      'status',
      'type',
      'sort',
      'a',
    ]);
    return `${key}=${random.pick([id, '', '0', '-1', '1e9', '%', '%ff', 'asc', 'created_at', 'success', 'import', 'a:b:c'])}`;
  });
  return query.length === 0 ? place : `${place}?${query.join('&')}`;
}

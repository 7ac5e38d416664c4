import { mutated } from '../mutation.ts';
import { allMethods, pathOfMethod, type FuzzCase } from '../target.ts';
import { messageBytes } from './messages.ts';

const types = [
  'application/grpc',
  'application/grpc+proto',
  'application/grpc+json',
  'application/grpc-web+proto',
  'application/connect+proto',
  'application/connect+json',
];

const encodings = ['identity', 'gzip', 'br', 'zstd', 'nothing', ''];

/** Messages in envelopes whose flags, lengths or encodings are not those of what is in them. */
export const envelopes: FuzzCase = ({ client, ids, authorization }, random) => {
  const method = random.pick(allMethods);
  const type = random.pick(types);
  const parts = Array.from({ length: random.int(0, 4) }, () => {
    const message = messageBytes(random, method, ids, type.endsWith('json'));
    const head = Buffer.alloc(5);
    head[0] = random.chance(0.7) ? 0 : random.int(0, 255);
    const length = random.chance(0.7) ? message.length : random.int(0, 2 ** 32 - 1);
    head.writeUInt32BE(length, 1);
    return Buffer.concat([head, message]);
  });
  const body = Buffer.concat(parts);
  const headers = {
    ':path': pathOfMethod(method),
    'content-type': random.chance(0.95)
      ? type
      : random.pick(['text/plain', 'application/grpc+xml', '']),
    te: 'trailers',
    authorization,
    ...(random.chance(0.4) && { 'grpc-encoding': random.pick(encodings) }),
    ...(random.chance(0.2) && { 'connect-content-encoding': random.pick(encodings) }),
    ...(random.chance(0.2) && {
      'grpc-timeout': random.pick(['1S', '0n', '-1S', '99999999999H', 'x', '100m']),
    }),
    ...(random.chance(0.1) && {
      'connect-timeout-ms': random.pick(['1000', '-1', 'x', '1e9', '']),
    }),
    ...(random.chance(0.2) && { 'connect-protocol-version': random.pick(['1', '2', '']) }),
  };
  const what = `${type} ${method.name}`;
  return client.send(what, headers, random.chance(0.5) ? body : mutated(random, body));
};

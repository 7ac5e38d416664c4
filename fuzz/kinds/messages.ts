import { fromJson, toBinary, type DescMethod } from '@bufbuild/protobuf';
import type { Random } from '../../chaos/random.ts';
import { mutated } from '../mutation.ts';
import { randomMessage } from '../random-message.ts';
import { allMethods, pathOfMethod, type FuzzCase } from '../target.ts';

/** The bytes of a request of a method: as it may be, or of nothing. */
export function messageBytes(
  random: Random,
  method: DescMethod,
  ids: readonly string[],
  isJson: boolean,
): Buffer {
  const json = randomMessage(random, method.input, ids);
  if (isJson) {
    return Buffer.from(JSON.stringify(json));
  }
  try {
    const message = fromJson(method.input, json, { ignoreUnknownFields: true });
    return Buffer.from(toBinary(method.input, message));
  } catch {
    // What cannot be said in protobuf, such as a time before its beginning.
    return random.bytes(random.int(0, 100));
  }
}

/** Protobuf that is malformed, or well formed and makes no sense, over gRPC and Connect. */
export const messages: FuzzCase = ({ client, ids, authorization }, random) => {
  const method = random.pick(allMethods);
  const bytes = messageBytes(random, method, ids, false);
  const message = random.chance(0.6) ? mutated(random, bytes) : bytes;
  const isUnary = method.methodKind === 'unary';
  if (isUnary && random.chance(0.4)) {
    const headers = {
      ':path': pathOfMethod(method),
      'content-type': 'application/proto',
      'connect-protocol-version': '1',
      authorization,
    };
    return client.send(`Connect ${method.name}`, headers, message);
  }
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const headers = {
    ':path': pathOfMethod(method),
    'content-type': 'application/grpc',
    te: 'trailers',
    authorization,
  };
  return client.send(`gRPC ${method.name}`, headers, Buffer.concat([head, message]));
};

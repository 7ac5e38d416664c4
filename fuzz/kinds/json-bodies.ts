import type { JsonValue } from '@bufbuild/protobuf';
import type { Random } from '../../chaos/random.ts';
import { mutated } from '../mutation.ts';
import { randomMessage } from '../random-message.ts';
import { allMethods, pathOfMethod, type FuzzCase } from '../target.ts';

/** JSON of the wrong kinds, depths and sizes, and what is no JSON; in bodies, and in the query of calls that only read. */
export const jsonBodies: FuzzCase = ({ client, ids, authorization }, random) => {
  const method = random.pick(allMethods.filter(({ methodKind }) => methodKind === 'unary'));
  const text = JSON.stringify(crooked(random, randomMessage(random, method.input, ids), 0));
  const bytes = Buffer.from(text);
  const body = random.chance(0.5) ? mutated(random, bytes) : bytes;
  if (random.chance(0.2)) {
    const query = new URLSearchParams({
      connect: random.pick(['v1', 'v2', '']),
      encoding: random.pick(['json', 'proto', 'xml']),
      message: body.toString('latin1').slice(0, 2000),
      ...(random.chance(0.3) && { base64: random.pick(['1', '0']) }),
      ...(random.chance(0.3) && { compression: random.pick(['gzip', 'br', 'x']) }),
    });
    const path = `${pathOfMethod(method)}?${query.toString()}`;
    return client.send(
      `GET ${method.name}`,
      { ':method': 'GET', ':path': path, authorization },
      Buffer.of(),
    );
  }
  const headers = {
    ':path': pathOfMethod(method),
    'content-type': random.pick([
      'application/json',
      'application/json; charset=utf-8',
      'application/json;charset=x',
    ]),
    authorization,
    ...(random.chance(0.2) && { 'content-encoding': random.pick(['gzip', 'br', 'x', 'identity']) }),
  };
  return client.send(`JSON ${method.name}`, headers, body);
};

function crooked(random: Random, value: JsonValue, depth: number): JsonValue {
  if (depth > 6 || random.chance(0.06)) {
    return odd(random);
  }
  if (Array.isArray(value)) {
    return value.map((one) => crooked(random, one, depth + 1));
  }
  return typeof value === 'object' && value !== null
    ? Object.fromEntries(
        Object.entries(value).map(([key, one]) => [
          random.chance(0.03)
            ? random.pick(['__proto__', 'constructor', '', 'image_id', 'é'])
            : key,
          crooked(random, one, depth + 1),
        ]),
      )
    : value;
}

function odd(random: Random): JsonValue {
  let nested: JsonValue = 1;
  for (let depth = random.int(0, 3000); depth > 0; depth -= 1) {
    nested = [nested];
  }
  return random.pick<JsonValue>([
    null,
    true,
    -1,
    1e308,
    0.5,
    '',
    '\ud800',
    [],
    {},
    [[]],
    { a: null },
    nested,
  ]);
}

import type { Random } from '../../chaos/random.ts';
import { mutated } from '../mutation.ts';
import type { FuzzCase } from '../target.ts';

/** Credentials that are nearly good, of another kind, or of no kind. */
export const tokens: FuzzCase = async ({ client, authorization }, random) => {
  const value = credential(random, authorization);
  // What no header can hold is not sent by any client.
  const text = value.replace(/[^\t\x20-\x7e\x80-\xff]/g, '').trim();
  const answer = await client.send(
    'a credential',
    {
      ':method': 'GET',
      ':path': '/v2/tasks',
      [random.chance(0.8) ? 'authorization' : 'x-auth-token']: text,
    },
    Buffer.of(),
  );
  const isGood = text.replace(/^bearer +/i, '') === authorization.replace(/^Bearer /, '');
  // Nothing but the credential itself may be taken for it.
  return answer.outcome === 'http 200' && !isGood ? { ...answer, outcome: 'http 500' } : answer;
};

function credential(random: Random, good: string): string {
  const part = (): string => random.bytes(random.int(0, 60)).toString('base64url');
  const json = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  return random.weighted([
    [4, mutated(random, Buffer.from(good)).toString('latin1')],
    [1, `Bearer ${part()}.${part()}.${part()}`],
    [
      1,
      `Bearer ${json({ alg: random.pick(['none', 'HS256', 'RS256', 'ES256', 'EdDSA', '']), kid: 'a' })}.${json({ sub: 'a', exp: 1e12 })}.${part()}`,
    ],
    [1, `Bearer ${'.'.repeat(random.int(0, 5))}`],
    [1, `Basic ${part()}`],
    [1, `Bearer dkr_${part()}_${part()}`],
    [1, random.bytes(random.int(0, 100)).toString('latin1')],
    [1, `Bearer ${'a'.repeat(random.int(1000, 15_000))}`],
  ] as const);
}

import type { RestClient } from '../server/rest/rest-client.ts';

/** One request of a story; `$name` in paths and bodies is the id that an earlier answer had. */
export interface Step {
  readonly ask: readonly [string, string, unknown?, string?];
  /** What the image that it answers is called from here on. */
  readonly as?: string;
}

/** Fields that only one of both has, or that are of its own making. */
const own = new Set([
  'id',
  'image_id',
  // MD5 and sha512 there, sha256 here.
  'checksum',
  'os_hash_algo',
  'os_hash_value',
  'created_at',
  'updated_at',
  'self',
  'file',
  'os_darkroom_outlook',
  'os_darkroom_task',
  'os_darkroom_fault',
  'message',
  'reason',
  'stores',
  'first',
  'next',
]);

/** What a service answered to a step. */
export interface Told {
  readonly step: string;
  readonly status: number;
  readonly body: unknown;
}

/** Tells a story to a service, and what it answered, without what cannot be the same. */
export async function tell(ask: RestClient, steps: readonly Step[]): Promise<Told[]> {
  const ids = new Map<string, string>();
  const filled = (text: string): string =>
    text.replaceAll(/\$(\w+)/g, (_, name: string) => ids.get(name) ?? `no ${name}`);
  const told: Told[] = [];
  for (const {
    ask: [method, path, body, type],
    as,
  } of steps) {
    const answer = await ask(
      method,
      filled(path),
      body === undefined || typeof body === 'string' ? body : filled(JSON.stringify(body)),
      type === undefined ? {} : { 'content-type': type },
    );
    if (as !== undefined) {
      ids.set(as, String(answer.body?.['id']));
    }
    const isError = answer.status >= 400;
    told.push({
      step: `${method} ${path}`,
      status: answer.status,
      body: isError ? undefined : common(answer.body),
    });
  }
  return told;
}

function common(body: unknown): unknown {
  if (Array.isArray(body)) {
    return body.map(common);
  }
  if (typeof body !== 'object' || body === null) {
    return body;
  }
  const entries = Object.entries(body).filter(([name]) => !own.has(name));
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name,
      name === 'tags' ? (value as string[]).toSorted((a, b) => (a < b ? -1 : 1)) : common(value),
    ]),
  );
}

import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CleanUps } from '../support/clean-ups.ts';
import { useDatabase } from '../support/test-database.ts';
import { download, readFaults, readImage } from '../support/upload-world.ts';
import { ended, openImportWorld, type ImportWorld } from './import-world.ts';
import { sendPart } from './range-answers.ts';
import { rangeOf, serves, startSource, type SourceServer } from './source-server.ts';

const database = useDatabase();
const maxTries = 4;
/** A longer look: DARKROOM_TEST_RUNS=1000. */
const runs = Number(process.env['DARKROOM_TEST_RUNS'] ?? 60);
const cleanUps = new CleanUps();
let world: ImportWorld;
let source: SourceServer;
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeAll(async () => {
  world = await openImportWorld(database(), {
    env: { DARKROOM_IMPORT_MAX_TRIES: String(maxTries), DARKROOM_IMPORT_BACKOFF_MS: '1' },
    pollIntervalMs: 5,
    defer: cleanUps.defer,
  });
  source = await startSource((request, response) => answer(request, response), cleanUps);
});
afterAll(cleanUps.run);

/** What a source does with one request; `where` and `length` are fractions, of what is possible. */
interface Conduct {
  readonly kind: (typeof legal)[number] | (typeof illegal)[number];
  readonly where: number;
  readonly length: number;
}

/** What a source may do, by RFC 9110. */
const legal = [
  'whole',
  'part',
  'part',
  'part',
  'byte',
  'part without size',
  'overlap',
  'all',
] as const;

/** What it may not, and some do. */
const illegal = [
  'late', 'before', 'unsaid', 'unreadable', 'several parts', 'encoded', 'other version', 'weak version',
  'too long', 'too short', 'empty', 'larger size', 'smaller size',
  '416', '416 with size', '416 with smaller size', '416 with larger size', '403', '500', 'garbage',
  'chunked whole', 'chunked whole cut cleanly', 'whole of smaller length', 'part unasked',
] as const; // prettier-ignore

const fraction = fc.nat({ max: 1000 }).map((n) => n / 1000);
const conductOf = <K extends Conduct['kind']>(kinds: readonly K[]) =>
  fc.record({ kind: fc.constantFrom(...kinds), where: fraction, length: fraction });
const image = fc
  .oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 101, max: 300_000 }))
  .map((size) => randomBytes(size));

/** A source of one image that first sends some of it and breaks, and then does one thing after the other. */
class MisleadingSource {
  readonly #bytes: Buffer;
  readonly #conducts: Conduct[];
  readonly #breaks: number[];
  requests = 0;

  /** @param breaks where it breaks off the first answers, as fractions. */
  constructor(bytes: Buffer, breaks: readonly number[], conducts: readonly Conduct[]) {
    this.#bytes = bytes;
    this.#breaks = [...breaks];
    this.#conducts = [...conducts];
  }

  answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests += 1;
    const { start, isPart } = rangeOf(request, '"one"');
    const next = this.#breaks.shift();
    if (next !== undefined) {
      this.#breakOff(response, start, isPart, next);
      return;
    }
    const conduct = this.#conducts.shift();
    if (!conduct || (!isPart && !conductsOfWhole.has(conduct.kind))) {
      serves(this.#bytes)(request, response, this.requests);
    } else {
      this.#act(conduct, response, start);
    }
  }

  #breakOff(response: ServerResponse, start: number, isPart: boolean, where: number): void {
    const bytes = this.#bytes;
    response.writeHead(isPart ? 206 : 200, {
      etag: '"one"',
      'content-length': bytes.length - start,
      ...(isPart && { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
    });
    const sent = bytes.subarray(start, start + Math.floor((bytes.length - start - 1) * where));
    response.write(sent.length > 0 ? sent : '', () => response.socket?.end());
    response.flushHeaders();
    response.socket?.end();
  }

  #act({ kind, where, length }: Conduct, response: ServerResponse, start: number): void {
    const bytes = this.#bytes;
    const size = bytes.length;
    const end = start + 1 + Math.floor((size - start - 1) * length);
    const before = Math.floor(start * where);
    const some = 1 + Math.floor(where * 1000);
    const part = (more: Partial<Parameters<typeof sendPart>[2]> = {}): void =>
      sendPart(response, bytes, { start, end, ...more });
    const range = (total: number | string, to = end): string => `bytes ${start}-${to - 1}/${total}`;
    const chunked = (body: Uint8Array, headers: Record<string, string> = {}): void => {
      response.writeHead(206, { etag: '"one"', 'content-range': range(size), ...headers });
      response.write(body);
      response.end();
    };
    switch (kind) {
      case 'whole':
        response.writeHead(200, { etag: '"one"', 'content-length': size }).end(bytes);
        break;
      case 'part':
        part();
        break;
      case 'byte':
        part({ end: start + 1 });
        break;
      case 'part without size':
        part({ contentRange: range('*') });
        break;
      case 'overlap':
        part({ start: before });
        break;
      case 'all':
        part({ start: 0, end: size });
        break;
      case 'late':
        if (end < size) {
          part({ start: end, end: size });
        } else {
          response.writeHead(416).end();
        }
        break;
      case 'before':
        part({ start: before, end: Math.max(start, before + 1) });
        break;
      case 'unsaid':
        part({ contentRange: null });
        break;
      case 'unreadable':
        part({ contentRange: `bytes=${start}-${end}` });
        break;
      case 'several parts':
        part({
          contentRange: null,
          headers: { 'content-type': 'multipart/byteranges; boundary=x' },
        });
        break;
      case 'encoded':
        part({ headers: { 'content-encoding': 'gzip' } });
        break;
      case 'other version':
        sendPart(response, randomBytes(size), { start, end, etag: '"two"' });
        break;
      case 'weak version':
        part({ etag: 'W/"one"' });
        break;
      case 'too long':
        chunked(Buffer.concat([bytes.subarray(start, end), randomBytes(some)]));
        break;
      case 'too short':
        chunked(bytes.subarray(start, start + Math.floor((end - start) * where)));
        break;
      case 'empty':
        chunked(Buffer.alloc(0));
        break;
      case 'larger size':
        part({ contentRange: range(size + some) });
        break;
      case 'smaller size':
        part({ contentRange: range(end) });
        break;
      case '416':
        response.writeHead(416).end();
        break;
      case '416 with size':
        response.writeHead(416, { 'content-range': `bytes */${size}` }).end();
        break;
      case '416 with smaller size':
        response.writeHead(416, { 'content-range': `bytes */${before}` }).end();
        break;
      case '416 with larger size':
        response.writeHead(416, { 'content-range': `bytes */${size + some}` }).end();
        break;
      case '403':
        response.writeHead(403).end();
        break;
      case '500':
        response.writeHead(500).end();
        break;
      case 'garbage':
        response.socket?.end('what is this?\r\n\r\n');
        break;
      case 'chunked whole':
        response.writeHead(200, { etag: '"one"' });
        response.write(bytes);
        response.end();
        break;
      case 'chunked whole cut cleanly':
        response.writeHead(200, { etag: '"one"' });
        response.write(bytes.subarray(0, Math.floor(size * where)));
        response.end();
        break;
      case 'whole of smaller length':
        response
          .writeHead(200, { etag: '"one"', 'content-length': Math.floor((size - 1) * where) })
          .end(bytes.subarray(0, Math.floor((size - 1) * where)));
        break;
      case 'part unasked':
        part({ start: 0, end: Math.max(1, Math.floor(size * where)) });
        break;
    }
  }
}

/** What can also answer a request for the whole. */
const conductsOfWhole: ReadonlySet<string> = new Set([
  'whole', 'chunked whole', 'chunked whole cut cleanly', 'whole of smaller length', 'part unasked', '403', '500',
  'garbage', 'unsaid', '416',
]); // prettier-ignore

/** How a whole import from such a source ends. Its image, if there is one, is the source's: no other, none shorter. */
async function importFrom(misleading: MisleadingSource, bytes: Buffer) {
  answer = (request, response) => misleading.answer(request, response);
  const { imageId, taskId } = await world.create(`${source.origin}/disk`);
  const task = await ended(database(), taskId);
  const faults = await readFaults(database(), taskId);
  const image = await readImage(database(), imageId);
  if (task.state === 'SUCCEEDED') {
    expect(image).toMatchObject({ state: 'ACTIVE', sizeBytes: bytes.length });
    expect((await download(world, imageId)).equals(bytes)).toBe(true);
  } else {
    expect(image).toMatchObject({ state: 'QUEUED', outlook: 'NOT_COMING' });
    expect(task.committedSize).toBeLessThanOrEqual(bytes.length);
    const last = faults.at(-1);
    expect(last?.fatal).toBe(true);
    expect(last?.reason).toMatch(/^SOURCE_/);
  }
  return { task, faults, requests: misleading.requests };
}

test(
  'whatever a source does with ranges, the image is its bytes, or there is a true reason',
  async () => {
    const conducts = fc.array(conductOf([...legal, ...illegal]), { maxLength: 12 });
    const breaks = fc.array(fraction, { minLength: 1, maxLength: maxTries });
    await fc.assert(
      fc.asyncProperty(image, breaks, conducts, async (bytes, breaks, conducts) => {
        const { task, faults, requests } = await importFrom(
          new MisleadingSource(bytes, breaks, conducts),
          bytes,
        );
        expect(faults.length).toBeLessThanOrEqual(maxTries);
        expect(requests).toBeLessThanOrEqual(breaks.length + conducts.length + 2 * maxTries);
        expect(task.message).not.toBe('');
      }),
      { seed: 20261125, numRuns: runs },
    );
  },
  runs * 5000,
);

test(
  'a source that only does what it may brings its image, in as many parts as it likes',
  async () => {
    const conducts = fc.array(conductOf(legal), { maxLength: 20 });
    const breaks = fc.array(fraction, { minLength: 1, maxLength: maxTries - 1 });
    await fc.assert(
      fc.asyncProperty(image, breaks, conducts, async (bytes, breaks, conducts) => {
        const { task, faults } = await importFrom(
          new MisleadingSource(bytes, breaks, conducts),
          bytes,
        );
        expect(task.state).toBe('SUCCEEDED');
        // No part is a failed try. One that broke without a byte may be made good in the same one.
        expect(faults.length).toBeLessThanOrEqual(breaks.length);
        expect(new Set(faults.map(({ reason }) => reason))).toEqual(new Set(['SOURCE_CUT_SHORT']));
      }),
      { seed: 20261125, numRuns: Math.ceil(runs / 2) },
    );
  },
  runs * 5000,
);

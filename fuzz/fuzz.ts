import { readdir } from 'node:fs/promises';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConnectError, type Client } from '@connectrpc/connect';
import { Image_DiskFormat } from '../gen/darkroom/v1/image_pb.ts';
import type { ImageService } from '../gen/darkroom/v1/image_service_pb.ts';
import { memoryOf } from '../bench/stage/process-usage.ts';
import { startPostgres } from '../bench/stage/postgres.ts';
import { startService, type BenchService } from '../bench/stage/service.ts';
import { Stage } from '../bench/stage/stage.ts';
import { Random } from '../chaos/random.ts';
import { createToken } from '../src/identity/static-tokens/token-store.ts';
import { isDefect } from './answer.ts';
import { Http2Client } from './http2-client.ts';
import { imagesAs } from './images-client.ts';
import { envelopes } from './kinds/envelopes.ts';
import { http2Frames } from './kinds/http2-frames.ts';
import { images } from './kinds/images.ts';
import { jsonBodies } from './kinds/json-bodies.ts';
import { messages } from './kinds/messages.ts';
import { restRequests } from './kinds/rest-requests.ts';
import { tokens } from './kinds/tokens.ts';
import { ServiceHeap } from './service-heap.ts';
import type { FuzzCase, FuzzTarget } from './target.ts';

const MiB = 1024 * 1024;

/** Cases at the same time. */
const atOnce = 16;
/** So many times the memory is looked at, in equal parts of the cases. */
const looks = 10;
/** From this look on the service is warm. */
const warmLook = 3;
/** So many more MiB may be needed at the end than when the service was warm, after all garbage was collected. */
const mostGrowthMiB = 16;
/** So many more files may be open at the end than at the beginning: connections of the database come and go. */
const mostMoreFiles = 30;

/** How long and with what. */
export interface FuzzOptions {
  readonly cases: number;
  readonly seed: string;
  /** The first case: one that was found is found again by its number, where it does not need those before it. */
  readonly from: number;
  /** Kinds whose names hold this. */
  readonly only: string;
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
}

/** What went wrong. */
export interface FuzzVerdict {
  readonly violations: readonly string[];
}

/**
 * Sends a real service what is malformed, of each kind, and holds that it says what is wrong with it, does not grow, and
 * serves others meanwhile.
 */
export async function runFuzz(options: FuzzOptions): Promise<FuzzVerdict> {
  const stage = await Stage.open();
  const violations: string[] = [];
  const violate = (text: string): void => {
    violations.push(text);
    options.print(`VIOLATION ${text}`);
  };
  try {
    const tokensFile = join(stage.folder, 'tokens.json');
    const { token } = createToken(tokensFile, {
      user: 'fuzz',
      project: 'fuzz',
      roles: ['member'],
      description: undefined,
      lifetimeMs: undefined,
    });
    const inspectorPort = await freePort();
    const service = await startFuzzedService(stage, tokensFile, inspectorPort, violate);
    const memory = { pid: service.pid, heap: await ServiceHeap.open(inspectorPort) };
    stage.defer(() => Promise.resolve(memory.heap.close()));
    const authorization = `Bearer ${token}`;
    const others = imagesAs(service.url, authorization);
    const steady = serveOthers(others, violate);
    const target = await targetOf(service, others, authorization);
    await playCases(options, target, stage.folder, memory, violate);
    target.client.close();
    await steady.stop();
    options.print(
      `others made ${steady.calls()} calls meanwhile, the longest took ${steady.longestMs()} ms`,
    );
    await holdSound(others, violate);
  } finally {
    await stage.close();
  }
  return { violations };
}

function startFuzzedService(
  stage: Stage,
  tokensFile: string,
  inspectorPort: number,
  violate: (text: string) => void,
): Promise<BenchService> {
  return startPostgres(stage).then(({ url }) =>
    startService(stage, {
      databaseUrl: url,
      env: {
        DARKROOM_TOKENS_FILE: tokensFile,
        // Every connection is a flood here.
        DARKROOM_FLOOD_PAUSE_MS: '0',
        DARKROOM_IMPORT_MAX_TRIES: '1',
        DARKROOM_LOG_LEVEL: 'debug',
        NODE_OPTIONS: `--inspect=127.0.0.1:${inspectorPort}`,
      },
      onLogLine(line) {
        const { level, code, msg } = JSON.parse(line) as Readonly<Record<string, unknown>>;
        if (Number(level) >= 50 || code === 'INTERNAL' || code === 'UNKNOWN') {
          violate(`the log says: ${line.slice(0, 1500)}`);
        } else if (Number(level) >= 40 && msg === 'call failed') {
          violate(`a call failed: ${line.slice(0, 1500)}`);
        }
      },
    }),
  );
}

async function targetOf(
  { url }: BenchService,
  others: Client<typeof ImageService>,
  authorization: string,
): Promise<FuzzTarget> {
  const ids = ['01a21999-0000-7000-8000-000000000000', 'no id'];
  for (let n = 0; n < 4; n += 1) {
    const { image, task } = await others.createImage(newImage);
    ids.push(image?.id ?? '', task?.id ?? '');
  }
  return { url, port: Number(new URL(url).port), client: new Http2Client(url), ids, authorization };
}

async function playCases(
  { cases, seed, from, only, print, signal }: FuzzOptions,
  target: FuzzTarget,
  folder: string,
  { pid, heap }: { readonly pid: number; readonly heap: ServiceHeap },
  violate: (text: string) => void,
): Promise<void> {
  const kinds = (
    [
      [20, 'http2-frames', http2Frames],
      [20, 'envelopes', envelopes],
      [20, 'messages', messages],
      [20, 'json-bodies', jsonBodies],
      [20, 'rest-requests', restRequests],
      [8, 'tokens', tokens],
      [3, 'images', images(target, folder)],
    ] satisfies [number, string, FuzzCase][]
  ).filter(([, name]) => name.includes(only));
  const outcomes = new Map<string, number>();
  const root = new Random(seed);
  const openFiles = async (): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length;
  const filesBefore = await openFiles();
  let next = from;
  let warm: number | undefined;
  /** What the service needs, in MiB, told with what it has. */
  const look = async (played: number): Promise<number> => {
    const needed = await heap.needed();
    const { resident } = await memoryOf(pid);
    const [objects, beside, has] = [needed.heap, needed.external, resident].map(inMiB);
    print(
      `after ${played} cases: ${objects} MiB needed in the heap, ${beside} beside it, of ${has} resident`,
    );
    return (needed.heap + needed.external) / MiB;
  };
  const end = from + cases;
  const looksAfter = Array.from({ length: looks }, (_, part) => Math.floor((part * cases) / looks));

  async function play(): Promise<void> {
    while (next < end && !signal.aborted) {
      const number = next;
      next += 1;
      const random = root.fork(String(number));
      const [name, run] = random.weighted(
        kinds.map(([weight, kind, one]) => [weight, [kind, one] as const]),
      );
      const answer = await run(target, random);
      const key = `${name}: ${answer.outcome}`;
      outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
      if (isDefect(answer)) {
        violate(`case ${number}, ${name}, ${answer.what}: ${answer.outcome} ${answer.text}`);
      }
      const part = looksAfter.indexOf(number - from + 1);
      if (part !== -1) {
        const needed = await look(number - from + 1);
        warm = part >= warmLook ? (warm ?? needed) : undefined;
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, play));

  for (const [key, count] of [...outcomes].toSorted(([a], [b]) => a.localeCompare(b))) {
    print(`${String(count).padStart(8)}  ${key}`);
  }
  target.client.close();
  const needed = await look(end - from);
  const growth = Math.round(needed - (warm ?? needed));
  if (growth > mostGrowthMiB) {
    violate(`it needs ${growth} MiB more than when it was warm`);
  }
  // Closed connections are told to the service a moment later.
  let files = await openFiles();
  for (let looks = 0; files > filesBefore + mostMoreFiles && looks < 100; looks += 1) {
    await delay(100);
    files = await openFiles();
  }
  if (files > filesBefore + mostMoreFiles) {
    violate(`${files - filesBefore} more files are open than at the beginning`);
  }
}

function inMiB(bytes: number): number {
  return Math.round(bytes / MiB);
}

/** A port that nobody listens on just now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const newImage = {
  image: { name: 'others', diskFormat: Image_DiskFormat.RAW },
  source: { case: 'upload', value: {} },
} as const;

/** Calls the service all the time, as somebody who does nothing wrong. */
function serveOthers(client: Client<typeof ImageService>, violate: (text: string) => void) {
  let calls = 0;
  let longestMs = 0;
  const stopping = new AbortController();
  const running = (async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const began = performance.now();
      try {
        await client.listImages({ pageSize: 1 }, { timeoutMs: 60_000 });
        calls += 1;
      } catch (error) {
        violate(`another client was not served: ${ConnectError.from(error).message}`);
      }
      longestMs = Math.max(longestMs, Math.round(performance.now() - began));
      await delay(5);
    }
  })();
  return {
    calls: () => calls,
    longestMs: () => longestMs,
    stop: (): Promise<void> => {
      stopping.abort();
      return running;
    },
  };
}

/** Holds that the service still does its work. */
async function holdSound(
  client: Client<typeof ImageService>,
  violate: (text: string) => void,
): Promise<void> {
  try {
    const { task } = await client.createImage(newImage);
    const taskId = task?.id ?? '';
    const data = Buffer.alloc(MiB, 'sound');
    const sent = async function* () {
      yield { frame: { case: 'header', value: { taskId } } } as const;
      yield { frame: { case: 'chunk', value: { offset: 0n, data } } } as const;
      await Promise.resolve();
      yield { frame: { case: 'finish', value: { totalSize: BigInt(data.length) } } } as const;
    };
    const { complete } = await client.uploadImage(sent());
    if (!complete) {
      violate('an upload after all cases was not complete');
    }
  } catch (error) {
    violate(`an upload after all cases failed: ${ConnectError.from(error).message}`);
  }
}

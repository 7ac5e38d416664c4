import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from './connection.ts';
import type { Deployment } from './deployment.ts';
import { inspectBytes, inspectUpload, listEvents, type KeptImage } from './image-inspection.ts';
import type { Journal } from './journal.ts';
import { persist } from './persistence.ts';
import type { Random } from './random.ts';
import { ResilientClient } from './resilient-client.ts';
import { Saboteur } from './saboteur.ts';
import { inspectStore } from './store-inspection.ts';
import { TaskWatcher } from './task-watcher.ts';
import { drawPlan } from './upload-plan.ts';
import { Upload } from './upload.ts';

/** A watch must have told the end of its task within this time after it, in ms. */
const watchEndTimeoutMs = 20_000;
/** Kept images are deleted down to so many, while the service is struck. */
const keptLimit = 12;

/** What a round works with. */
export interface RoundParts {
  readonly deployment: Deployment;
  readonly random: Random;
  readonly journal: Journal;
  /** Begins the names of all images of the round. */
  readonly name: string;
  readonly clients: number;
  readonly maxImageBytes: number;
  /** Whole images of earlier rounds; the round adds its own, and deletes some of the oldest. */
  readonly kept: KeptImage[];
}

/** What a round did. */
export interface RoundOutcome {
  readonly uploads: number;
  /** Bytes of the images that are ACTIVE now. */
  readonly bytes: number;
}

/** Uploads while the service is struck, lets it come back, and looks whether all promises were kept. */
export async function playRound(parts: RoundParts): Promise<RoundOutcome> {
  const { deployment, random, journal } = parts;
  const connect = (): Connection => new Connection(random.pick(deployment.services).url);
  const uploads: Upload[] = [];
  const watchers: TaskWatcher[] = [];
  const over = new AbortController();
  const saboteur = new Saboteur(deployment, random.fork('saboteur'), journal).run(over.signal);
  const work = [deleteOldest(connect, parts)];
  for (let client = 0; client < parts.clients; client++) {
    work.push(uploadInTurn(parts, `${parts.name}-${client}`, connect, uploads, watchers));
  }
  const results = await journal.timed('clients', Promise.allSettled(work));
  over.abort();
  await journal.timed('last blow', saboteur);
  for (const result of results) {
    if (result.status === 'rejected') {
      journal.violate(`a client gave up: ${String(result.reason)}`);
    }
  }
  await journal.timed('return of the service', deployment.untilReady());
  await verify(parts, connect, uploads, watchers);
  const whole = uploads.filter(({ plan }) => plan.fate === 'complete');
  parts.kept.push(...whole.map(({ plan, imageId }) => ({ ...plan, imageId })));
  return {
    uploads: uploads.length,
    bytes: whole.reduce((sum, { size }) => sum + size, 0),
  };
}

/** One client's uploads, one after the other, each with its watchers and perhaps a rival. */
async function uploadInTurn(
  { random, journal, maxImageBytes }: RoundParts,
  name: string,
  connect: () => Connection,
  uploads: Upload[],
  watchers: TaskWatcher[],
): Promise<void> {
  const own = random.fork(name);
  const count = own.int(1, 2);
  for (let index = 0; index < count; index++) {
    const label = `${name}-${index}`;
    const drawn = own.fork(`upload ${index}`);
    const plan = drawPlan(drawn.fork('plan'), label, maxImageBytes);
    const rivalIsDue = Promise.withResolvers<void>();
    const upload = new Upload(plan, journal, (taskId) => {
      const watcherRandom = drawn.fork(`watcher of task ${watchers.length}`);
      watchers.push(
        new TaskWatcher({ taskId, name: label, connect, random: watcherRandom, journal }),
      );
      rivalIsDue.resolve();
    });
    uploads.push(upload);
    const parts = { upload, journal, connect };
    const clients = [
      new ResilientClient({ ...parts, random: drawn.fork('client'), isRival: false }).run(),
    ];
    if (plan.hasRival) {
      clients.push(
        rivalIsDue.promise.then(async () => {
          await sleep(drawn.int(0, plan.paceMs));
          journal.counts.add('rivals');
          await new ResilientClient({ ...parts, random: drawn.fork('rival'), isRival: true }).run();
        }),
      );
    }
    await Promise.all(clients);
  }
}

/** Deletes old images while the service is struck: what is deleted must go, and nothing else. */
async function deleteOldest(
  connect: () => Connection,
  { kept, random }: RoundParts,
): Promise<void> {
  const own = random.fork('deletions');
  for (const { imageId } of kept.splice(0, Math.max(0, kept.length - keptLimit))) {
    await sleep(own.int(0, 400));
    await persist(connect, ({ images }, options) => images.deleteImage({ imageId }, options));
  }
}

async function verify(
  parts: RoundParts,
  connect: () => Connection,
  uploads: readonly Upload[],
  watchers: readonly TaskWatcher[],
): Promise<void> {
  const { deployment, journal } = parts;
  const watches = Promise.all(watchers.map(({ ended }) => ended));
  const isLate = await journal.timed(
    'end of the watches',
    Promise.race([watches.then(() => false), sleep(watchEndTimeoutMs, true, { ref: false })]),
  );
  if (isLate) {
    journal.violate(
      `a watch has not ended ${watchEndTimeoutMs / 1000} s after all clients were done`,
    );
  }
  for (const watcher of watchers) {
    watcher.leave();
  }
  for (const problem of await journal.timed('look at the store', inspectStore(deployment))) {
    journal.violate(problem);
  }
  await journal.timed('look at the images', lookAtImages(parts, connect(), uploads, watchers));
}

async function lookAtImages(
  { random, journal, kept }: RoundParts,
  connection: Connection,
  uploads: readonly Upload[],
  watchers: readonly TaskWatcher[],
): Promise<void> {
  try {
    for (const upload of uploads) {
      for (const problem of await inspectUpload(connection, upload, random)) {
        journal.violate(problem);
      }
    }
    for (const watcher of watchers) {
      watcher.compare(await listEvents(connection, watcher.taskId));
    }
    if (kept.length > 0) {
      const old = random.pick(kept);
      for (const problem of await inspectBytes(connection, old, random)) {
        journal.violate(`${old.name}, of an earlier round: ${problem}`);
      }
    }
  } finally {
    connection.cut();
  }
}

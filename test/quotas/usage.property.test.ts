import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { defaultCaller } from '../../src/access/caller.ts';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import type { ImageId, TaskId } from '../../src/records/ids.ts';
import { cancelTask } from '../../src/tasks/control/cancel-task.ts';
import { reportFault } from '../../src/tasks/control/producer-reports.ts';
import { retryTask } from '../../src/tasks/control/retry-task.ts';
import { imagesOn, newImage } from '../images/images-world.ts';
import { connectTestDatabase } from '../support/test-database.ts';
import {
  chunk,
  connection,
  finish,
  framesOf,
  header,
  openUploadWorld,
  readTask,
} from '../support/upload-world.ts';
import { countedAndTrue, quotasOn } from './quota-world.ts';

const project = defaultCaller.projectId;
const limits = { images: 6, live_tasks: 4, stored_bytes: 60_000, in_flight_bytes: 45_000 };

const step = fc.record({
  kind: fc.constantFrom(
    'create',
    'create',
    'create',
    'send',
    'send',
    'send',
    'finish',
    'finish',
    'cancel',
    'fail',
    'retry',
    'retry anew',
    'delete',
    'repair',
  ),
  which: fc.nat({ max: 5 }),
  size: fc.integer({ min: 1, max: 25_000 }),
});

/** What the model knows of an image that is not deleted. */
interface Known {
  readonly imageId: ImageId;
  taskId: TaskId;
  state: 'live' | 'ended' | 'active';
  /** Committed of the task, or of the image. */
  stored: number;
  content: Buffer;
}

test('after any course of calls what is counted is what a model and the tables say, and never above a limit', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      const database = await connectTestDatabase();
      const quotas = quotasOn(database);
      await quotas.update(project, limits, undefined);
      const world = await openUploadWorld(database);
      const { images } = imagesOn(database);
      const known: Known[] = [];
      const parts = { ...world, onBlobsReleased: () => {}, onImportDue: () => {} };
      const usage = () => ({
        images: known.length,
        live_tasks: known.filter(({ state }) => state === 'live').length,
        stored_bytes: known.reduce((sum, { stored }) => sum + stored, 0),
        in_flight_bytes: known.reduce(
          (sum, { state, stored }) => sum + (state === 'live' ? stored : 0),
          0,
        ),
      });
      const live = (): Known[] => known.filter(({ state }) => state === 'live');
      const send = (one: Known, data: Buffer, isWhole: boolean) =>
        world.uploads.receive(
          defaultCaller,
          framesOf(
            header(one.taskId),
            ...(data.length > 0 ? [chunk(one.stored, data)] : []),
            ...(isWhole ? [finish(one.stored + data.length)] : []),
          ),
          connection(),
        );

      for (const { kind, which, size } of steps) {
        const before = usage();
        const more = {
          create: { images: 1, live_tasks: 1 },
          send: { stored_bytes: size, in_flight_bytes: size },
          // What becomes an image at once was never in flight.
          finish: { stored_bytes: size },
        }[kind as string] as Partial<typeof before> | undefined;
        const one = kind.startsWith('retry')
          ? known.filter(({ state }) => state === 'ended')[which]
          : kind === 'delete'
            ? known[which]
            : live()[which];
        const work = async (): Promise<void> => {
          if (kind === 'create') {
            const { image, task } = await images.createImage(defaultCaller, newImage());
            known.push({
              imageId: image.id,
              taskId: task!.task.id,
              state: 'live',
              stored: 0,
              content: Buffer.alloc(0),
            });
          } else if (kind === 'repair') {
            await world.repair.run();
          } else if (one === undefined) {
            return;
          } else if (kind === 'send' || kind === 'finish') {
            const data = randomBytes(size).map((byte) => byte | 1) as Buffer;
            await send(one, data, kind === 'finish');
            one.stored += size;
            one.state = kind === 'finish' ? 'active' : 'live';
          } else if (kind === 'cancel') {
            await cancelTask(parts, defaultCaller, { taskId: one.taskId, reason: '' });
            one.state = 'ended';
          } else if (kind === 'fail') {
            await reportFault(world.ledger, defaultCaller, {
              taskId: one.taskId,
              code: 13,
              reason: 'BROKEN',
              message: 'broken',
              detail: '',
              fatal: true,
            });
            one.state = 'ended';
          } else if (kind.startsWith('retry')) {
            const { task } = await retryTask(parts, defaultCaller, {
              taskId: one.taskId,
              requestId: '',
            });
            one.taskId = task.id;
            one.state = 'live';
            one.stored = task.storedBytes;
          } else {
            await images.deleteImage(defaultCaller, { imageId: one.imageId, etag: '' });
            known.splice(known.indexOf(one), 1);
          }
        };
        const failure = await work().then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure !== undefined) {
          expect(failure).toBeInstanceOf(DarkroomError);
          expect((failure as DarkroomError).reason).toBe('QUOTA_EXCEEDED');
          const quota = (failure as DarkroomError).metadata['quota'] as keyof typeof limits;
          const added = more?.[quota] ?? (quota === 'in_flight_bytes' ? (one?.stored ?? 0) : 1);
          expect(before[quota] + added).toBeGreaterThan(limits[quota]);
        }
        const { counted, truth } = await countedAndTrue(database, project);
        expect(truth).toEqual(usage());
        expect(counted).toEqual(truth);
        for (const [name, limit] of Object.entries(limits)) {
          expect((counted as Record<string, number>)[name]).toBeLessThanOrEqual(limit);
        }
        for (const each of live()) {
          expect((await readTask(database, each.taskId)).committedSize).toBe(each.stored);
        }
      }
      expect(await quotas.reconcile()).toBe(0);
    }),
    { numRuns: 12 },
  );
}, 120_000);

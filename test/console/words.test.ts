import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { create } from '@bufbuild/protobuf';
import { ImageSchema, Image_DiskFormat, Image_Visibility } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageOrder } from '../../gen/darkroom/v1/image_service_pb.ts';
import { Task_State, Task_Type } from '../../gen/darkroom/v1/task_pb.ts';
import { failureReasons } from '../../src/domain/failure-reason.ts';
import {
  changesOf,
  fieldsOf,
  imageFields,
  wrongFields,
} from '../../src/console/images/image-fields.ts';
import { imageQueryOf, isNarrowed, listRequest } from '../../src/console/images/image-query.ts';
import { taskQueryOf, watchFilter } from '../../src/console/tasks/task-query.ts';
import { leftMs, paceAfter, type Pace } from '../../src/console/tasks/task-rate.ts';
import { adviceFor } from '../../src/console/words/advice.ts';
import {
  agoText,
  bytesText,
  durationText,
  percentText,
  remainingText,
  shareOf,
} from '../../src/console/words/amounts.ts';

describe('amounts', () => {
  test('are told with three digits, in the unit that fits', () => {
    expect([0, 1, 999, 1000, 1024, 10_239, 1_048_575, 12_900_000, 2 ** 34].map(bytesText)).toEqual([
      '0 bytes',
      '1 byte',
      '999 bytes',
      '0.98 KiB',
      '1.00 KiB',
      '10.0 KiB',
      '1.00 MiB',
      '12.3 MiB',
      '16.0 GiB',
    ]);
    fc.assert(
      fc.property(fc.bigInt({ min: 1000n, max: 2n ** 63n - 1n }), (bytes) => {
        expect(bytesText(bytes)).toMatch(/^(?:\d\.\d\d|\d\d\.\d|\d{3}|\d{4,}(?= PiB)) [KMGTP]iB$/);
      }),
    );
  });

  test('of time are told in two units at most', () => {
    const times = [0, 0.4, 16, 999.4, 999.6, 1340, 9949, 9951, 59_400, 60_000, 61_000, 3_600_000];
    expect(times.map(durationText)).toEqual([
      '0 s',
      '0 s',
      '16 ms',
      '999 ms',
      '1 s',
      '1.3 s',
      '9.9 s',
      '10 s',
      '59 s',
      '1 min',
      '1 min 1 s',
      '1 h',
    ]);
    expect([0, 20, 1400, 90_400].map(remainingText)).toEqual(['1 s', '1 s', '1 s', '1 min 30 s']);
    expect([0, 6000, 3_599_000, 86_399_000].map((ms) => agoText(0, ms))).toEqual([
      'just now',
      '6 s ago',
      '59 min ago',
      '23 h ago',
    ]);
  });

  test('never say all of what is not all', () => {
    expect(percentText(0.9999)).toBe('99 %');
    expect(percentText(shareOf(2n ** 53n, 2n ** 53n) ?? 0)).toBe('100 %');
    expect(shareOf(0n, 0n)).toBe(1);
    expect(shareOf(5n, undefined)).toBeUndefined();
    expect(shareOf(7n, 5n)).toBe(1);
  });
});

describe('a pace', () => {
  test('follows what was seen lately, and never becomes negative', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(1e9), fc.integer({ min: 200, max: 5000 })), { minLength: 1 }),
        (looks) => {
          let pace: Pace | undefined;
          let timeMs = 0;
          for (const [bytes, stepMs] of looks) {
            timeMs += stepMs;
            pace = paceAfter(pace, bytes, timeMs);
            expect(pace.rate).toBeGreaterThanOrEqual(0);
          }
        },
      ),
    );
    let steady = paceAfter(undefined, 0, 0);
    for (let second = 1; second <= 20; second += 1) {
      steady = paceAfter(steady, second * 1000, second * 1000);
    }
    expect(steady.rate).toBeCloseTo(1000, 0);
    expect(leftMs(steady, 30_000n)).toBeCloseTo(10_000, -1);
    expect(leftMs(steady, 20_000n)).toBeUndefined();
    expect(paceAfter(steady, 10, 21_000).rate).toBe(0);
  });
});

describe('the address of a list', () => {
  test('says what is asked for, and what it does not know counts as not said', () => {
    const query = imageQueryOf(
      new URLSearchParams('q=deb&outlook=not-coming&format=qcow2&visibility=shared&order=name'),
    );
    expect(listRequest(query)).toMatchObject({
      filter: {
        outlooks: [3],
        diskFormats: [Image_DiskFormat.QCOW2],
        visibilities: [Image_Visibility.SHARED],
        namePrefix: 'deb',
      },
      orderBy: ImageOrder.NAME_ASC,
    });
    const odd = imageQueryOf(new URLSearchParams('outlook=__proto__&format=x&order=constructor'));
    expect(isNarrowed(odd)).toBe(false);
    expect(listRequest(odd).filter).toEqual({
      outlooks: [],
      diskFormats: [],
      visibilities: [],
    });
  });

  test('looks for an id as an id', () => {
    const id = '01a21b4d-6b4e-7498-a0b6-078373caa4af';
    const query = imageQueryOf(new URLSearchParams({ q: id }));
    expect(listRequest(query).filter).toMatchObject({ ids: [id] });
    expect(listRequest(query).filter).not.toHaveProperty('namePrefix');
  });

  test('of tasks asks for live ones however old, and for ended ones of late', () => {
    const at = 1_800_000_000_000;
    expect(watchFilter(taskQueryOf(new URLSearchParams('')), at)).toEqual({
      states: [Task_State.PENDING, Task_State.RUNNING],
      types: [],
    });
    expect(
      watchFilter(taskQueryOf(new URLSearchParams('state=failed&type=import&since=7d')), at),
    ).toMatchObject({
      states: [Task_State.FAILED],
      types: [Task_Type.IMPORT],
      updatedAfter: { seconds: BigInt(at / 1000 - 7 * 86_400) },
    });
  });
});

describe('the fields of an image', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 20 });
  const image = fc
    .record({
      name: text,
      tags: fc.uniqueArray(
        text.map((tag) => tag.replaceAll(',', '').trim()).filter((tag) => tag !== ''),
      ),
      properties: fc.dictionary(
        fc.stringMatching(/^[a-z_][a-z0-9_]{0,10}$/),
        text.map((value) => value.trim()),
      ),
      minDiskBytes: fc.nat(4096).map((gib) => BigInt(gib) * 2n ** 28n),
      minRamBytes: fc.nat(65_536).map((mib) => BigInt(mib) * 2n ** 20n),
      protected: fc.boolean(),
      hidden: fc.boolean(),
    })
    .map((init) => create(ImageSchema, { ...init, visibility: Image_Visibility.SHARED }));

  test('come back as they were typed', () => {
    fc.assert(
      fc.property(image, (before) => {
        const fields = fieldsOf(before);
        expect(wrongFields(fields)).toEqual({});
        const { name, tags, properties, minDiskBytes, minRamBytes } = before;
        expect(imageFields(fields)).toMatchObject({
          name,
          tags,
          properties,
          minDiskBytes,
          minRamBytes,
        });
        expect(changesOf(fields, fields)).toEqual([]);
      }),
    );
  });

  test('that are no amounts or properties are named', () => {
    const fields = fieldsOf(create(ImageSchema, {}));
    expect(wrongFields({ ...fields, minDisk: '1,5', minRam: ' 512 ' })).toEqual({});
    expect(Object.keys(wrongFields({ ...fields, minDisk: '-1', minRam: '.' }))).toEqual([
      'minDisk',
      'minRam',
    ]);
    expect(wrongFields({ ...fields, properties: 'a = b\nc' }).properties).toContain('“c”');
    expect(wrongFields({ ...fields, properties: ' = b' }).properties).toContain('= b');
  });

  test('that differ make the mask', () => {
    const before = fieldsOf(create(ImageSchema, { name: 'a', minDiskBytes: 2n ** 30n }));
    expect(changesOf(before, { ...before, name: 'b', minDisk: '2', hidden: true })).toEqual([
      'name',
      'min_disk_bytes',
      'hidden',
    ]);
  });
});

test('whatever reason a fault has, a person is told what to do', () => {
  for (const reason of [...Object.keys(failureReasons), 'BUILD_FAILED', 'constructor']) {
    for (const fatal of [true, false]) {
      for (const type of [Task_Type.UPLOAD, Task_Type.IMPORT]) {
        const advice = adviceFor({ reason, fatal, retryable: fatal }, type);
        expect([reason, typeof advice, advice.length > 10]).toEqual([reason, 'string', true]);
      }
    }
  }
});

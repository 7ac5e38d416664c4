import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import type { Inspection } from '../../src/formats/inspect-image.ts';
import { containerFormats, diskFormats, type DiskFormat } from '../../src/records/image.ts';
import { hasProgram } from '../support/disk-images.ts';
import {
  minimalIso,
  resealedVhd,
  resealedVhdx,
  tarArchive,
  withField,
  withVmdkFooter,
} from './forgeries.ts';
import { as, inspectGrowing, inspectPrefix, inspectWhole } from './inspections.ts';
import { QemuFolder } from './qemu-images.ts';

const folder = new QemuFolder();
afterAll(() => folder.remove());

interface Sample {
  readonly name: string;
  readonly diskFormat: DiskFormat;
  readonly bytes: Buffer;
  /** Where headers lie, so that changes hit something. */
  readonly headers: readonly number[];
  /** Makes the checksums right after a change, so that what they guard is reached. */
  readonly reseal?: (bytes: Buffer) => Buffer;
}

const KiB = 1024;
const MiB = 1024 * KiB;

const samples: readonly Sample[] = [
  { name: 'iso', diskFormat: 'ISO', bytes: minimalIso(), headers: [0, 32 * KiB] },
  { name: 'tar', diskFormat: 'RAW', bytes: tarArchive(), headers: [0] },
  ...(hasProgram('qemu-img', 'qemu-utils') ? qemuSamples() : []),
];

function qemuSamples(): Sample[] {
  const vmdk = folder.create('vmdk', 'subformat=streamOptimized');
  const footed = withVmdkFooter(vmdk).whole;
  const dynamic = folder.create('vpc', '');
  const fixed = folder.create('vpc', 'subformat=fixed');
  const vhdx = folder.create('vhdx', 'block_size=1M,log_size=1M');
  return [
    { name: 'qcow2', diskFormat: 'QCOW2', bytes: folder.create('qcow2', ''), headers: [0] },
    {
      name: 'qcow2 of version 2',
      diskFormat: 'QCOW2',
      bytes: folder.create('qcow2', 'compat=0.10,cluster_size=512'),
      headers: [0],
    },
    { name: 'vmdk', diskFormat: 'VMDK', bytes: folder.create('vmdk', ''), headers: [0, 512] },
    {
      name: 'vmdk with footer',
      diskFormat: 'VMDK',
      bytes: footed,
      headers: [0, 512, footed.length - 1536, footed.length - 1024],
    },
    {
      name: 'vhd dynamic',
      diskFormat: 'VHD',
      bytes: dynamic,
      headers: [0, 512, dynamic.length - 512],
      reseal: resealedVhd,
    },
    {
      name: 'vhd fixed',
      diskFormat: 'VHD',
      bytes: fixed,
      headers: [fixed.length - 512],
      reseal: resealedVhd,
    },
    {
      name: 'vhdx',
      diskFormat: 'VHDX',
      bytes: vhdx,
      headers: [0, 64 * KiB, 192 * KiB, 256 * KiB, 3 * MiB, 3 * MiB + 64 * KiB],
      reseal: resealedVhdx,
    },
    { name: 'vdi', diskFormat: 'VDI', bytes: folder.create('vdi', ''), headers: [0, 340] },
    { name: 'ploop', diskFormat: 'PLOOP', bytes: folder.create('parallels', ''), headers: [0] },
  ];
}

const extremes = [
  0n,
  1n,
  2n,
  511n,
  512n,
  2n ** 16n - 1n,
  2n ** 31n - 1n,
  2n ** 31n,
  2n ** 32n - 1n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 63n,
  2n ** 64n - 1n,
];
const declaration = fc.record({
  diskFormat: fc.constantFrom(...diskFormats),
  containerFormat: fc.constantFrom(...containerFormats),
});

/** Feeds growing prefixes, and checks that the answer never changes once there is one. */
async function feed(
  declared: ReturnType<typeof as>,
  bytes: Uint8Array,
  lengths: readonly number[],
): Promise<Inspection> {
  const whole = await inspectWhole(declared, bytes);
  expect(whole.kind).not.toBe('undecided');
  let needs = 0;
  for (const length of lengths.filter((length) => length <= bytes.length)) {
    const inspection = await inspectPrefix(declared, bytes, length);
    if (inspection.kind === 'undecided') {
      expect(inspection.needs).toBeGreaterThanOrEqual(needs);
      // Asking before what is needed has come tells nothing new.
      needs = inspection.needs;
    } else {
      expect(length).toBeGreaterThanOrEqual(needs === Number.POSITIVE_INFINITY ? 0 : needs);
      expect(needs).not.toBe(Number.POSITIVE_INFINITY);
      expect(inspection).toEqual(whole);
    }
  }
  return whole;
}

const lengths = fc
  .array(fc.oneof(fc.nat({ max: 1200 }), fc.nat({ max: 70_000 }), fc.nat({ max: 8 * MiB })), {
    minLength: 1,
    maxLength: 8,
  })
  .map((lengths) => lengths.sort((a, b) => a - b));

test.for(samples)(
  '$name: a growing prefix never changes an answer',
  async ({ bytes, diskFormat }) => {
    await fc.assert(
      fc.asyncProperty(
        lengths,
        fc.constantFrom(diskFormat, ...diskFormats),
        async (steps, other) => {
          await feed(as(other), bytes, steps);
        },
      ),
      { numRuns: 60 },
    );
  },
);

test.for(samples)('$name cut anywhere is answered', async ({ bytes, diskFormat }) => {
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.nat({ max: 1200 }),
        fc.nat({ max: bytes.length }),
        fc.nat({ max: 1200 }).map((less) => Math.max(0, bytes.length - less)),
      ),
      fc.constantFrom(diskFormat, ...diskFormats),
      async (length, other) => {
        const cut = bytes.subarray(0, length);
        const { inspection } = await inspectGrowing(as(other), cut);
        expect(inspection).toEqual(await inspectWhole(as(other), cut));
        if (other === diskFormat && length < 64 && diskFormat !== 'RAW') {
          expect(inspection).toMatchObject({
            reason: 'FORMAT_MISMATCH',
            message: expect.stringContaining('cut short'),
          });
        }
      },
    ),
    { numRuns: 60 },
  );
});

test.for(samples)('$name with flipped bytes in its headers is answered', async (sample) => {
  const flip = fc.record({
    header: fc.constantFrom(...sample.headers),
    at: fc.nat({ max: 511 }),
    mask: fc.integer({ min: 1, max: 255 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(flip, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      lengths,
      async (flips, isResealed, steps) => {
        const bytes = Buffer.from(sample.bytes);
        for (const { header, at, mask } of flips) {
          bytes[header + at]! ^= mask;
        }
        const sealed = isResealed ? (sample.reseal?.(bytes) ?? bytes) : bytes;
        await feed(as(sample.diskFormat), sealed, steps);
      },
    ),
    { numRuns: 80 },
  );
});

test.for(samples)('$name with hostile fields is answered', async (sample) => {
  const field = fc.record({
    header: fc.constantFrom(...sample.headers),
    // VMDK's fields are packed, so that they may lie anywhere.
    at: fc.nat({ max: 500 }),
    bits: fc.constantFrom(16, 32, 64),
    value: fc.oneof(fc.constantFrom(...extremes), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    byteOrder: fc.constantFrom('little', 'big'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(field, { minLength: 1, maxLength: 3 }), async (fields) => {
      const bytes = fields.reduce(
        (bytes, { header, at, bits, value, byteOrder }) =>
          withField(bytes, {
            offset: header + at,
            bits,
            byteOrder,
            value: BigInt.asUintN(bits, value),
          }),
        sample.bytes,
      );
      const sealed = sample.reseal?.(bytes) ?? bytes;
      const { inspection } = await inspectGrowing(as(sample.diskFormat), sealed);
      expect(inspection).toEqual(await inspectWhole(as(sample.diskFormat), sealed));
    }),
    { numRuns: 150 },
  );
});

const magics = [
  'QFI\xfb\0\0\0\x02',
  'QFI\xfb\0\0\0\x03',
  'KDMV\x01\0\0\0',
  '# Disk DescriptorFile\n',
  'conectix',
  'vhdxfile',
  `${'\0'.repeat(64)}\x7f\x10\xda\xbe\x01\0\x01\0`,
  'WithouFreSpacExt\x02\0\0\0',
  '\x1f\x8b\x08\0',
  `${'\0'.repeat(32 * KiB)}\x01CD001\x01`,
  '',
];

test('garbage behind every magic is answered', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...magics),
      fc.uint8Array({ maxLength: 3000 }),
      fc.oneof(fc.constant(0), fc.nat({ max: 300_000 })),
      declaration,
      lengths,
      async (magic, garbage, zeros, declared, steps) => {
        const bytes = Buffer.concat([Buffer.from(magic, 'latin1'), garbage, Buffer.alloc(zeros)]);
        await feed(declared, bytes, steps);
      },
    ),
    { numRuns: 1500 },
  );
});

const vmdk = samples.find(({ name }) => name === 'vmdk');

test.runIf(vmdk !== undefined)('hostile text in a descriptor is answered', async () => {
  for (const piece of ['\r\n', ' ', '#', 'RW ', 'a=', '"', '\\', 'RW 1 SPARSE "', '\n', 'é']) {
    // Only text that ends with a zero is parsed.
    const text = Buffer.from(piece.repeat(MiB / piece.length))
      .subarray(0, MiB)
      .fill(0, MiB - 1);
    const large = withField(vmdk!.bytes, {
      offset: 36,
      bits: 64,
      byteOrder: 'little',
      value: 2048,
    });
    const bytes = Buffer.concat([large.subarray(0, 512), text, Buffer.alloc(512)]);
    // A reading of it that takes the square of its length would not end before the test's time limit.
    const inspection = await inspectWhole(as('VMDK'), bytes);
    expect(inspection).toMatchObject({ reason: 'FORMAT_UNSAFE' });
    const head = Buffer.from(`#\n${piece.repeat(512)}`).subarray(0, 512);
    expect((await inspectWhole(as('RAW'), head)).kind).toBe('sound');
  }
});

import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { hasProgram } from '../support/disk-images.ts';
import { compressed } from './compressors.ts';
import { as, inspectGrowing, inspectWhole } from './inspections.ts';
import {
  manifestOf,
  ovf,
  ovfOfDisk,
  packed,
  runTar,
  sealed,
  tarEnd,
  tarEntry,
  type OvfParts,
  type PackedFile,
} from './ova-packages.ts';
import { QemuFolder } from './qemu-images.ts';

const KiB = 1024;
const folder = new QemuFolder();
afterAll(() => folder.remove());
const isReady = hasProgram('qemu-img', 'qemu-utils') && hasProgram('tar', 'tar');
const stream = isReady ? folder.create('vmdk', 'subformat=streamOptimized') : Buffer.alloc(0);
const virtualSize = 700 * KiB;

const disk: PackedFile = ['disk.vmdk', stream];
const vmdkOva = as('VMDK', 'OVA');

function ova(descriptor = ovfOfDisk(), ...more: readonly PackedFile[]): Buffer {
  return packed([['vm.ovf', descriptor], ...more, disk]);
}

describe.runIf(isReady)('an OVA', () => {
  test.for(['sha1', 'sha256', 'sha512'] as const)(
    'with a disk and a manifest by %s is sound, and tells its virtual size',
    async (algorithm) => {
      const files: readonly PackedFile[] = [['vm.ovf', ovfOfDisk({ capacity: virtualSize })], disk];
      const bytes = packed([files[0]!, ['vm.mf', manifestOf(files, algorithm)], disk]);
      const inspection = await inspectWhole(vmdkOva, bytes);
      expect(inspection).toMatchObject({
        kind: 'sound',
        virtualSize,
        digests: [
          { name: 'vm.ovf', algorithm, offset: 512 },
          { name: 'disk.vmdk', algorithm, size: stream.length },
        ],
      });
      const { inspection: grown } = await inspectGrowing(vmdkOva, bytes);
      expect(grown).toEqual(inspection);
    },
  );

  test.for([
    ['as ustar', ['--format=ustar']],
    ['as GNU tar', ['--format=gnu']],
    ['as pax', ['--format=posix']],
    ['with folders', ['--format=ustar', '--no-recursion', '.']],
  ] as const)('packed %s is sound', async ([, options]) => {
    const bytes = packed([['./vm.ovf', ovfOfDisk()], ['./vm.cert', 'x'], disk], [...options]);
    expect(await inspectWhole(vmdkOva, bytes)).toEqual({ kind: 'sound', virtualSize });
  });

  test.for(['ustar', 'gnu', 'posix'])('of long names in the format %s is sound', async (format) => {
    const long = `${'folder-of-a-long-name/'.repeat(5)}${'x'.repeat(80)}.vmdk`;
    const descriptor = ovfOfDisk({}, { href: long });
    const bytes = packed(
      [
        ['vm.ovf', descriptor],
        [long, stream],
      ],
      [`--format=${format}`],
    );
    expect(await inspectWhole(vmdkOva, bytes)).toEqual({ kind: 'sound', virtualSize });
  });

  test.for([
    'http://schemas.dmtf.org/ovf/envelope/2',
    'http://www.vmware.com/schema/ovf/1/envelope',
  ])('of the namespace %s is sound', async (namespace) => {
    expect(await inspectWhole(vmdkOva, ova(ovfOfDisk({}, {}, { namespace })))).toEqual({
      kind: 'sound',
      virtualSize,
    });
  });

  test('in UTF-16, with a name in percent-encoding, is sound', async () => {
    const descriptor = ovfOfDisk({}, { href: 'a%20disk.vmdk' }).replace('UTF-8', 'UTF-16');
    const bytes = packed([
      ['vm.ovf', Buffer.from(`\ufeff${descriptor}`, 'utf16le')],
      ['a disk.vmdk', stream],
    ]);
    expect(await inspectWhole(vmdkOva, bytes)).toEqual({ kind: 'sound', virtualSize });
  });

  test.for(['RAW', 'QCOW2', 'VDI', 'VHDX'] as const)('of a disk of %s is sound', async (format) => {
    const bytes =
      format === 'RAW'
        ? randomBytes(virtualSize).fill(0, 0, 512)
        : folder.create(format.toLowerCase(), '');
    const inspection = await inspectWhole(
      as(format, 'OVA'),
      packed([
        ['vm.ovf', ovfOfDisk()],
        ['disk.vmdk', bytes],
      ]),
    );
    expect(inspection).toEqual({ kind: 'sound', virtualSize });
  });

  test('of several disks tells the size of all together', async () => {
    const descriptor = ovf({
      files: [
        { id: 'a', href: 'a.vmdk', size: stream.length },
        { id: 'iso', href: 'tools.iso' },
        { id: 'b', href: 'b.vmdk' },
      ],
      disks: [
        { diskId: '1', fileRef: 'a', capacity: 1 },
        { diskId: '2', fileRef: 'b' },
        { diskId: '3', capacity: 2, capacityAllocationUnits: 'byte * 2^20' },
        { diskId: '4', capacity: 3, capacityAllocationUnits: 'byte * 10^3' },
      ],
    });
    const bytes = packed([
      ['vm.ovf', descriptor],
      ['a.vmdk', stream],
      ['tools.iso', 'whatever'],
      ['b.vmdk', stream],
    ]);
    expect(await inspectWhole(vmdkOva, bytes)).toEqual({
      kind: 'sound',
      virtualSize: 2 * virtualSize + 2 * KiB * KiB + 3000,
    });
  });

  test.for([
    ['a property', { capacity: '${disk.size}' }],
    ['units that nobody knows', { capacity: 3, capacityAllocationUnits: 'furlong' }],
    ['nothing', {}],
    [
      'more than can be counted',
      { capacity: '999999999999999', capacityAllocationUnits: 'byte*2^40' },
    ],
  ] as const)('with the capacity of an empty disk told by %s tells no size', async ([, told]) => {
    const descriptor = ovfOfDisk(
      {},
      {},
      {
        disks: [
          { diskId: 'a', fileRef: 'file1' },
          { diskId: 'b', ...told },
        ],
      },
    );
    expect(await inspectWhole(vmdkOva, ova(descriptor))).toEqual({
      kind: 'sound',
      virtualSize: undefined,
    });
  });

  test('without disks tells no size', async () => {
    const bytes = packed([['vm.ovf', ovf({})]]);
    expect(await inspectWhole(vmdkOva, bytes)).toEqual({ kind: 'sound', virtualSize: undefined });
  });

  test('of a disk that is compressed inside is looked into', async () => {
    const descriptor = ovfOfDisk({}, { compression: 'gzip' });
    const qcow2 = folder.create('qcow2', '');
    const bytes = packed([
      ['vm.ovf', descriptor],
      ['disk.vmdk', compressed('gzip', qcow2)],
    ]);
    expect(await inspectWhole(as('QCOW2', 'OVA'), bytes)).toEqual({ kind: 'sound', virtualSize });
    expect(await inspectWhole(vmdkOva, bytes)).toMatchObject({ found: 'qcow2' });
    expect(await inspectWhole(vmdkOva, ova(descriptor))).toMatchObject({ found: 'vmdk' });
  });

  test('of another disk than declared is refused with its first bytes, by name', async () => {
    const qcow2 = Buffer.concat([folder.create('qcow2', ''), randomBytes(500 * KiB)]);
    const bytes = packed([
      ['vm.ovf', ovfOfDisk()],
      ['disk.vmdk', qcow2],
    ]);
    const { inspection, available } = await inspectGrowing(vmdkOva, bytes);
    expect(inspection).toMatchObject({
      reason: 'FORMAT_MISMATCH',
      found: 'qcow2',
      message: expect.stringContaining('its disk "disk.vmdk" is qcow2'),
    });
    expect(available).toBeLessThan(10 * KiB);
  });
});

describe.runIf(isReady)('an OVA is unsafe with', () => {
  const backed = (): Buffer => {
    folder.run('create', '-q', '-f', 'qcow2', 'base.qcow2', '1M');
    return folder.create('qcow2', '', '-b', 'base.qcow2', '-F', 'qcow2');
  };

  test('a disk that refers to files of the host', async () => {
    const flat = folder.create('vmdk', 'subformat=monolithicFlat');
    const bytes = packed([
      ['vm.ovf', ovfOfDisk()],
      ['disk.vmdk', flat],
    ]);
    expect(await inspectWhole(vmdkOva, bytes)).toMatchObject({
      reason: 'FORMAT_UNSAFE',
      found: 'extents in other files',
      message: expect.stringContaining('"disk.vmdk"'),
    });
    const qcow2 = packed([
      ['vm.ovf', ovfOfDisk()],
      ['disk.vmdk', backed()],
    ]);
    expect(await inspectWhole(as('QCOW2', 'OVA'), qcow2)).toMatchObject({ found: 'backing file' });
  });

  test('such a file that nobody calls a disk', async () => {
    for (const descriptor of [
      ovfOfDisk(),
      ovf({
        files: [
          { id: 'a', href: 'extra' },
          { id: 'file1', href: 'disk.vmdk' },
        ],
      }),
    ]) {
      expect(await inspectWhole(vmdkOva, ova(descriptor, ['extra', backed()]))).toMatchObject({
        reason: 'FORMAT_UNSAFE',
        found: 'backing file',
      });
    }
    const qcow2 = folder.create('qcow2', '');
    expect(await inspectWhole(vmdkOva, ova(ovfOfDisk(), ['extra', qcow2]))).toMatchObject({
      kind: 'sound',
    });
  });

  test.for([
    'http://images.example.com/disk.vmdk',
    'file:///etc/passwd',
    'nbd:host:10809',
    '/etc/passwd',
    '../disk.vmdk',
    'folder/../../disk.vmdk',
    '..%2fdisk.vmdk',
    '%2Fetc%2Fpasswd',
    'C:\\disk.vmdk',
    '..\\disk.vmdk',
    '',
  ])('a reference to %j', async (href) => {
    expect(await inspectWhole(vmdkOva, ova(ovfOfDisk({}, { href })))).toMatchObject({
      reason: 'FORMAT_UNSAFE',
      found: 'reference outside',
    });
  });

  test.for<readonly [string, OvfParts]>([
    ['DTD', { prolog: '<!DOCTYPE Envelope SYSTEM "file:///etc/passwd">' }],
    [
      'DTD',
      { prolog: '<!DOCTYPE Envelope [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>', more: '&b;' },
    ],
    ['parent disk', { disks: [{ fileRef: 'file1', parentRef: 'vmdisk0' }] }],
    ['ambiguous descriptor', { more: '<Disk ovf:fileRef="file1" fileRef="file2"/>' }],
    ['descriptor beyond reason', { more: '<a>'.repeat(1000) }],
    ['descriptor beyond reason', { more: '<File ovf:href="a"/>'.repeat(1000) }],
  ])('a descriptor with %s', async ([found, parts]) => {
    expect(await inspectWhole(vmdkOva, ova(ovfOfDisk({}, {}, parts)))).toMatchObject({
      reason: 'FORMAT_UNSAFE',
      found,
    });
  });

  test('a descriptor that is too large, or more entries than any OVA has', async () => {
    const large = ova(ovfOfDisk({}, {}, { more: `<!--${'x'.repeat(600 * KiB)}-->` }));
    expect(await inspectWhole(vmdkOva, large)).toMatchObject({ found: 'descriptor beyond reason' });
    const many = Array.from({ length: 200 }, (_, index) => tarEntry(`file${index}`));
    const bytes = Buffer.concat([tarEntry('vm.ovf', ovf({})), ...many, tarEnd]);
    expect(await inspectWhole(vmdkOva, bytes)).toMatchObject({ found: 'archive beyond reason' });
  });

  test.for<readonly [string, Buffer]>([
    ['path outside', tarEntry('../disk.vmdk', 'x')],
    ['path outside', tarEntry('/etc/passwd', 'x')],
    ['path outside', tarEntry('passwd', 'x', { prefix: '/etc' })],
    ['path outside', tarEntry('a/../../b', 'x')],
    ['path outside', tarEntry('..\\b', 'x')],
    ['path outside', tarEntry('C:b', 'x')],
    ['file name', tarEntry('disk\u202ekdmv', 'x')],
    ['file name', tarEntry('', 'x')],
    ['link', tarEntry('link', '', { type: '1', linkName: 'vm.ovf' })],
    ['link', tarEntry('link', '', { type: '2', linkName: '/etc/passwd' })],
    ['link with bytes', tarEntry('link', 'x', { type: '2', linkName: 'vm.ovf' })],
    ['device', tarEntry('null', '', { type: '3' })],
    ['device', tarEntry('pipe', '', { type: '6' })],
    ['directory with bytes', tarEntry('folder', 'x', { type: '5' })],
    ['sparse file', tarEntry('disk', 'x', { type: 'S' })],
    ['unknown kind of entry', tarEntry('disk', 'x', { type: 'V' })],
    ['two files of one name', tarEntry('vm.ovf', 'x')],
    ['two files of one name', tarEntry('VM.OVF', 'x')],
    ['two files of one name', tarEntry('./vm.ovf', 'x')],
    ['header beyond reason', tarEntry('long', 'x'.repeat(65 * KiB), { type: 'L' })],
    ['entry size beyond reason', tarEntry('large', '', { size: 2n ** 53n - 1n })],
    [
      'path outside',
      Buffer.concat([tarEntry('long', '../../etc\0', { type: 'L' }), tarEntry('a')]),
    ],
    [
      'path outside',
      Buffer.concat([tarEntry('pax', '13 path=../b\n', { type: 'x' }), tarEntry('a')]),
    ],
    ['header for all entries', tarEntry('pax', '10 size=1\n', { type: 'g' })],
    ['sparse file', tarEntry('pax', '22 GNU.sparse.major=1\n', { type: 'x' })],
  ])('an archive that has a %s', async ([found, entry]) => {
    const bytes = Buffer.concat([tarEntry('vm.ovf', ovf({})), entry, tarEnd]);
    expect(await inspectWhole(vmdkOva, bytes)).toMatchObject({ reason: 'FORMAT_UNSAFE', found });
  });

  test.for([
    ['gnu', '-S'],
    ['posix', '-S'],
    ['posix', '--sparse-version=0.0', '-S'],
  ])('a file of which tar left the zeros out: %j', async ([format, ...options]) => {
    const place = mkdtempSync(join(tmpdir(), 'darkroom-sparse-'));
    try {
      writeFileSync(join(place, 'vm.ovf'), ovf({}));
      writeFileSync(join(place, 'disk'), 'x');
      truncateSync(join(place, 'disk'), 10_000_000);
      const bytes = runTar(place, [`--format=${format}`, ...options, '-cf', '-', 'vm.ovf', 'disk']);
      expect(await inspectWhole(vmdkOva, bytes)).toMatchObject({ found: 'sparse file' });
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  });

  test('a link that tar packed', async () => {
    const place = mkdtempSync(join(tmpdir(), 'darkroom-link-'));
    try {
      writeFileSync(join(place, 'vm.ovf'), ovfOfDisk());
      symlinkSync('/etc/passwd', join(place, 'disk.vmdk'));
      const bytes = runTar(place, ['-cf', '-', 'vm.ovf', 'disk.vmdk']);
      expect(await inspectWhole(vmdkOva, bytes)).toMatchObject({ found: 'link' });
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  });
});

describe.runIf(isReady)('an OVA is none with', () => {
  const descriptor: PackedFile = ['vm.ovf', ovfOfDisk()];

  test.for<readonly [string, string, () => Buffer]>([
    ['no descriptor', 'a disk first', () => packed([disk, descriptor])],
    [
      'no descriptor',
      'nothing',
      () => packed([['folder/x', '']], ['--format=ustar', 'folder/', '--exclude=x']),
    ],
    ['unreadable descriptor', 'another XML first', () => ova('<html/>')],
    ['unreadable descriptor', 'no XML first', () => ova('garbage')],
    ['unreadable descriptor', 'half of it', () => ova(ovfOfDisk().slice(0, 300))],
    ['unreadable descriptor', 'an entity', () => ova(ovfOfDisk({}, {}, { more: '&unknown;' }))],
    [
      'unreadable descriptor',
      'Latin-1',
      () => packed([['vm.ovf', Buffer.from('<a>\xe9</a>', 'latin1')]]),
    ],
    ['missing file', 'no disk', () => packed([descriptor])],
    ['missing file', 'a disk of another name', () => packed([descriptor, ['other.vmdk', stream]])],
    [
      'files out of order',
      'another order than its descriptor',
      () =>
        ova(
          ovf({
            files: [
              { id: 'a', href: 'disk.vmdk' },
              { id: 'b', href: 'b' },
            ],
          }),
          ['b', 'x'],
        ),
    ],
    ['file of another size', 'a disk of another size', () => ova(ovfOfDisk({}, { size: 5 }))],
    ['file in pieces', 'pieces', () => ova(ovfOfDisk({}, { chunkSize: 5 }))],
    ['unknown compression', 'bzip2', () => ova(ovfOfDisk({}, { compression: 'bzip2' }))],
    [
      'missing file',
      'a manifest of more',
      () => ova(ovfOfDisk(), ['vm.mf', manifestOf([['x', 'x']])]),
    ],
    ['unreadable manifest', 'garbage for a manifest', () => ova(ovfOfDisk(), ['vm.mf', 'garbage'])],
    [
      'unreadable manifest',
      'a short digest',
      () => ova(ovfOfDisk(), ['vm.mf', 'SHA256(vm.ovf)= 12\n']),
    ],
    [
      'unreadable manifest',
      'an unknown one',
      () => ova(ovfOfDisk(), ['vm.mf', 'CRC(vm.ovf)= 12\n']),
    ],
    [
      'unreadable manifest',
      'two of one file',
      () => ova(ovfOfDisk(), ['vm.mf', manifestOf([disk, disk])]),
    ],
  ])('%s: %s', async ([found, , make]) => {
    const bytes = make();
    const { inspection } = await inspectGrowing(vmdkOva, bytes);
    expect(inspection).toMatchObject({ reason: 'FORMAT_MISMATCH', found });
    expect(await inspectWhole(vmdkOva, bytes)).toEqual(inspection);
  });

  test('an end that is missing', async () => {
    const bytes = ova();
    const end = bytes.indexOf(stream) + stream.length;
    for (const length of [512, 600, 2000, 4000, stream.length, end - 1, end]) {
      expect(await inspectWhole(vmdkOva, bytes.subarray(0, length))).toMatchObject({
        reason: 'FORMAT_MISMATCH',
        found: 'cut short',
      });
    }
    // One block of zeros ends an archive well enough.
    expect(await inspectWhole(vmdkOva, bytes.subarray(0, end + 512))).toMatchObject({
      kind: 'sound',
    });
  });

  test('a header that is damaged, or none where one should be', async () => {
    const bytes = ova();
    const header = bytes.indexOf('disk.vmdk\0');
    for (const at of [header, header + 124, header + 156, header + 257]) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 0x21;
      expect(await inspectWhole(vmdkOva, damaged)).toMatchObject({ found: 'damaged tar' });
    }
    const sizes = Buffer.from(bytes.subarray(header, header + 512));
    sizes.write('-1234567\0\0\0\0', 124);
    sealed(sizes).copy(bytes, header);
    expect(await inspectWhole(vmdkOva, bytes)).toMatchObject({ found: 'damaged tar' });
  });
});

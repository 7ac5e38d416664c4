import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { paxValues } from '../../src/formats/pax-records.ts';
import { hasProgram } from '../support/disk-images.ts';
import { as, inspectGrowing, inspectPrefix, inspectWhole } from './inspections.ts';
import { manifestOf, ovfOfDisk, packed, sealed, tarEnd, tarEntry } from './ova-packages.ts';
import { QemuFolder } from './qemu-images.ts';

const folder = new QemuFolder();
afterAll(() => folder.remove());
const isReady = hasProgram('qemu-img', 'qemu-utils') && hasProgram('tar', 'tar');
const ova = as('VMDK', 'OVA');

function soundOva(): Buffer {
  const disk = folder.create('vmdk', 'subformat=streamOptimized');
  const descriptor = ovfOfDisk();
  const manifest = manifestOf([
    ['vm.ovf', descriptor],
    ['disk.vmdk', disk],
  ]);
  return packed([
    ['vm.ovf', descriptor],
    ['vm.mf', manifest],
    ['disk.vmdk', disk],
  ]);
}

const sound = isReady ? soundOva() : Buffer.alloc(0);
const headers = ['vm.ovf\0', 'vm.mf\0', 'disk.vmdk\0'].map((name) => sound.indexOf(name));

describe.runIf(isReady)('an OVA', () => {
  test('is answered early as late', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: sound.length }), async (length) => {
        const inspection = await inspectPrefix(ova, sound, length);
        if (inspection.kind !== 'undecided') {
          expect(inspection).toEqual(await inspectWhole(ova, sound));
        }
        const cut = sound.subarray(0, length);
        const { inspection: grown } = await inspectGrowing(ova, cut);
        expect(grown).toEqual(await inspectWhole(ova, cut));
      }),
      { numRuns: 60 },
    );
  });

  test('with changed bytes in its headers, its descriptor or its manifest is answered', async () => {
    const change = fc.record({
      header: fc.constantFrom(...headers),
      at: fc.nat({ max: 1400 }),
      byte: fc.oneof(fc.nat(255), fc.constantFrom(...Buffer.from('<>&"=/.:;0129\0\xff', 'latin1'))),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (changes, isSealed) => {
          const bytes = Buffer.from(sound);
          for (const { header, at, byte } of changes) {
            bytes[header + at] = byte;
          }
          for (const header of isSealed ? headers : []) {
            sealed(bytes.subarray(header, header + 512)).copy(bytes, header);
          }
          const { inspection } = await inspectGrowing(ova, bytes);
          expect(inspection).toEqual(await inspectWhole(ova, bytes));
        },
      ),
      { numRuns: 200 },
    );
  });
});

test('archives of any entries are answered', async () => {
  const entry = fc.record({
    name: fc.oneof(
      fc.constantFrom('vm.ovf', 'disk.vmdk', './', '../x', 'vm.mf', ''),
      fc.string({ maxLength: 100 }),
    ),
    content: fc.oneof(
      fc.constantFrom(ovfOfDisk(), 'SHA1(vm.ovf)= 00', '10 path=a\n', '9 size=\n'),
      fc.string({ unit: 'binary', maxLength: 1500 }),
    ),
    type: fc.constantFrom(...Array.from('0123456SVLKxg\0')),
    size: fc.option(fc.oneof(fc.nat({ max: 3000 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), {
      nil: undefined,
    }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { minLength: 1, maxLength: 6 }),
      fc.constantFrom('OVA', 'DOCKER'),
      fc.boolean(),
      async (entries, container, hasEnd) => {
        const bytes = Buffer.concat([
          ...entries.map(({ name, content, type, size }) =>
            tarEntry(name, content, { type, ...(size !== undefined && { size }) }),
          ),
          hasEnd ? tarEnd : Buffer.alloc(0),
        ]);
        const { inspection } = await inspectGrowing(as('VMDK', container), bytes);
        expect(inspection).toEqual(await inspectWhole(as('VMDK', container), bytes));
      },
    ),
    { numRuns: 300 },
  );
});

test('a descriptor of any text is answered', async () => {
  const piece = fc.constantFrom(
    '<', '>', '/', '"', "'", '&', ';', '&#x0;', '&lt;', '<!DOCTYPE a [', ']>', '<!ENTITY a SYSTEM "b">',
    '<![CDATA[', ']]>', '<!--', '-->', '<?xml version="1.0"?>', '<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1">',
    '</Envelope>', '<File href="a"/>', '<Disk fileRef="a" capacity="9"/>', ' xmlns:x="y"', 'x:', '\0', '\ufeff', 'é', 'a',
  ); // prettier-ignore
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 40 }), async (pieces) => {
      const bytes = Buffer.concat([tarEntry('vm.ovf', pieces.join('')), tarEnd]);
      const inspection = await inspectWhole(ova, bytes);
      expect(inspection.kind).not.toBe('undecided');
    }),
    { numRuns: 500 },
  );
});

test('records of pax are read only where they are well-formed', () => {
  const value = fc.string({ unit: 'binary' }).filter((text) => !text.includes('\n'));
  const key = fc.string({ minLength: 1 }).filter((text) => !/[=\n]/.test(text));
  fc.assert(
    fc.property(fc.dictionary(key, value, { maxKeys: 5 }), (values) => {
      const records = Object.entries(values).map(([key, value]) => {
        const rest = ` ${key}=${value}\n`;
        const bytes = Buffer.byteLength(rest);
        let length = bytes + String(bytes).length;
        length = bytes + String(length).length;
        return `${length}${rest}`;
      });
      expect(paxValues(Buffer.from(records.join('')))).toEqual(new Map(Object.entries(values)));
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      paxValues(bytes);
    }),
  );
  for (const text of [
    '5 a=',
    '6 a=\n',
    '0 a=b\n',
    'x',
    '-6 a=b\n',
    '99 a=b\n',
    '5 =b\n',
    '4 a\n',
  ]) {
    expect(paxValues(Buffer.from(text))).toBeUndefined();
  }
});

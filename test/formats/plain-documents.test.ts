import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { inspectAnswer } from '../../src/formats/http-answer.ts';
import { diskFormats } from '../../src/records/image.ts';
import { bootSectorDisk, minimalIso, tarArchive, withBytes } from './forgeries.ts';
import { as, inspectGrowing, inspectWhole } from './inspections.ts';

const KiB = 1024;

const documents: readonly (readonly [found: string, text: string])[] = [
  ['html', '<html>login</html>'],
  ['html', '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body></body></html>\n'],
  ['html', '\r\n\t <!doctype HTML public "-//W3C//DTD HTML 4.01//EN">\n<p>'],
  ['html', '<!-- served by a proxy -->\n<html>'],
  ['html', '<h1>404 Not Found</h1>'],
  ['html', '<?xml version="1.0"?>\n<!-- old -->\n<html xmlns="http://www.w3.org/1999/xhtml">'],
  ['xml', '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code></Error>'],
  ['xml', '<Error><Code>AccessDenied</Code></Error>'],
  ['xml', '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"/>'],
  ['xml', '<!DOCTYPE Error><Error/>'],
  ['json', '{"error": {"code": 404, "message": "no such image"}}'],
  ['json', ' {\n  "errors": []\n}\n'],
  ['json', '{}'],
  ['json', '[{"error": "gone"}]'],
  ['json', '[]'],
];

const ovf = 'http://schemas.dmtf.org/ovf/envelope/1';

const descriptors: readonly (readonly [name: string, text: string])[] = [
  [
    'as tools write it',
    `<?xml version="1.0"?>\n<!-- a tool -->\n<Envelope xmlns="${ovf}"><References/></Envelope>`,
  ],
  ['with a prefix', `<ovf:Envelope xmlns:ovf="${ovf}" xml:lang="en"/>`],
  ['of the draft', '<Envelope xmlns="http://www.vmware.com/schema/ovf/1/envelope"></Envelope>'],
  // What is not told by the beginning is left alone.
  [
    'after much else',
    `<?xml version="1.0"?><!--${' long'.repeat(200)}--><Envelope xmlns="${ovf}"/>`,
  ],
  [
    'whose tag is long',
    `<?xml version="1.0"?><Envelope ${'xmlns:a="urn:a" '.repeat(50)} xmlns="${ovf}"/>`,
  ],
  ['whose tag is cut', `<?xml version="1.0"?>${' '.repeat(484)}<Envelope xmlns="${ovf}"/>`],
];

/** As bytes, in the ways in which servers send text. */
const encodings: readonly (readonly [string, (text: string) => Buffer])[] = [
  ['', (text) => Buffer.from(text)],
  ['with a byte order mark', (text) => Buffer.from(`\ufeff${text}`)],
  ['in UTF-16', (text) => Buffer.from(`\ufeff${text}`, 'utf16le')],
  ['in UTF-16, big end first', (text) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
  ['in Latin-1', (text) => Buffer.from(`${text} \xe9\xdf`, 'latin1')],
  ['of a megabyte', (text) => Buffer.from(text.padEnd(KiB * KiB, ' <p>Sorry for that.</p>\n'))],
];

describe.each(encodings)('a document %s', (_, encode) => {
  test.for(documents)('of %s is no disk of any format: %j', async ([found, text]) => {
    const bytes = encode(text);
    for (const container of ['BARE', 'COMPRESSED', 'OVA', 'DOCKER'] as const) {
      for (const diskFormat of diskFormats) {
        const declared = as(diskFormat, container);
        const { inspection } = await inspectGrowing(declared, bytes);
        expect(inspection).toMatchObject({
          reason: 'FORMAT_MISMATCH',
          found,
          message: expect.stringContaining(JSON.stringify(text.trim()).slice(0, 3)),
        });
        expect(await inspectWhole(declared, bytes)).toEqual(inspection);
      }
    }
  });

  test.for(documents)(
    'of %s is no descriptor in a container OVF either: %j',
    async ([found, text]) => {
      expect(await inspectWhole(as('VMDK', 'OVF'), encode(text))).toMatchObject({
        reason: 'FORMAT_MISMATCH',
        found,
      });
    },
  );

  test.for(descriptors)(
    'that is an OVF descriptor, %s, is one in a container OVF',
    async ([, text]) => {
      const bytes = encode(text);
      expect(await inspectWhole(as('VMDK', 'OVF'), bytes)).toMatchObject({ kind: 'sound' });
      expect(await inspectWhole(as('VMDK'), bytes)).toMatchObject({ reason: 'FORMAT_MISMATCH' });
    },
  );
});

test('a page is refused with its first 512 bytes wherever they tell enough', async () => {
  const page = Buffer.from('<html>'.padEnd(KiB * KiB, 'sorry '));
  for (const diskFormat of ['QCOW2', 'VMDK', 'VDI', 'VHDX', 'PLOOP'] as const) {
    expect(await inspectGrowing(as(diskFormat), page)).toMatchObject({
      inspection: { found: 'html' },
      available: 512,
    });
  }
});

test('what is quoted of a document is cut, and shows what would not show', async () => {
  const page = Buffer.from(`<html>\u202e\u0007${'x'.repeat(2000)}`.replace('\u0007', '\u200b'));
  const inspection = await inspectWhole(as('RAW'), page);
  expect(inspection).toMatchObject({ message: expect.stringMatching(/"<html>.*…"/) });
  expect(JSON.stringify(inspection)).not.toMatch(/[\u202e\u200b]/);
});

describe('a raw disk stays one', () => {
  const page = Buffer.from('<!DOCTYPE html><html>'.padEnd(2048, 'page '));
  test.for([
    ['text', Buffer.from('hello world!')],
    ['a text that begins with a bracket', Buffer.from('<hello world!')],
    ['a text in braces', Buffer.from('{hello}')],
    ['a section of settings', Buffer.from('[default]\nkey = value\n')],
    ['one byte', Buffer.from('<')],
    ['a page written to its start', withBytes(Buffer.alloc(64 * KiB), 0, page)],
    ['a page before random bytes', Buffer.concat([page, randomBytes(4096)])],
    ['JSON padded with zeros', withBytes(Buffer.alloc(512), 0, '{"version": 1}')],
    ['a tag before a boot sector', withBytes(bootSectorDisk(KiB), 0, '<html>')],
    ['a bracket before code', withBytes(randomBytes(4096).fill(0, 500, 520), 0, '<a ')],
  ] as const)('with %s', async ([, bytes]) => {
    for (const diskFormat of ['RAW', 'AMI', 'AKI', 'ARI'] as const) {
      expect(await inspectWhole(as(diskFormat), bytes)).toMatchObject({ kind: 'sound' });
    }
  });

  test('an ISO whose system area is text stays one', async () => {
    expect(await inspectWhole(as('ISO'), minimalIso(page))).toMatchObject({ kind: 'sound' });
  });
});

test('where a zero stands in the first sector there is no document', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...documents.map(([, text]) => text)),
      fc.uint8Array({ minLength: 512, maxLength: 2000 }),
      fc.nat({ max: 511 }),
      async (text, bytes, zero) => {
        const disk = withBytes(withBytes(bytes, 0, text.slice(0, 512)), zero, '\0');
        expect(await inspectWhole(as('RAW'), disk)).toMatchObject({ kind: 'sound' });
      },
    ),
  );
});

test('text of any length is answered early as late', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('', '\ufeff', ' \n'),
      fc.constantFrom('<', '<?xml ', '<html>', '<!--', '{"', '[{', '[]'),
      fc.string({ unit: 'binary', maxLength: 3000 }),
      fc.constantFrom(...diskFormats),
      fc.constantFrom('BARE', 'OVF', 'COMPRESSED', 'OVA'),
      async (mark, start, text, diskFormat, container) => {
        const bytes = Buffer.from(mark + start + text);
        const declared = as(diskFormat, container);
        const { inspection } = await inspectGrowing(declared, bytes);
        expect(inspection).toEqual(await inspectWhole(declared, bytes));
      },
    ),
    { numRuns: 300 },
  );
});

describe('an answer of a server', () => {
  const html = Buffer.from('<html>login</html>');
  const image = as('RAW');

  test.for([
    ['text/html', '<html>login</html>', 'html'],
    ['Text/HTML; charset=utf-8', 'Not found', 'html'],
    ['application/xhtml+xml', '<?xml version="1.0"?><html xmlns="…">', 'html'],
    ['application/json', '"gone"', 'json'],
    ['application/problem+json', '{"title": "gone"}', 'json'],
    ['application/xml', '<Error/>', 'xml'],
    ['text/xml', '<?xml version="1.0"?><Error/>', 'xml'],
    ['application/json', '<html>login</html>', 'html'],
  ] as const)('of %s with %j is no image', ([contentType, text, found]) => {
    const refused = inspectAnswer(image, contentType, Buffer.from(text));
    expect(refused).toMatchObject({ kind: 'refused', reason: 'FORMAT_MISMATCH', found });
    expect(refused?.message).toContain(JSON.stringify(text));
  });

  test.for([
    [undefined, html],
    ['', html],
    ['application/octet-stream', html],
    ['text/plain', html],
    ['text/html', Buffer.alloc(0)],
    ['text/html', Buffer.from('<html>\0')],
    ['text/html', randomBytes(512).fill(0, 0, 9)],
    ['text/html', Buffer.from('# Disk DescriptorFile\n')],
    ['application/xml', tarArchive().subarray(0, 512)],
  ] as const)('of %s may be one', ([contentType, head]) => {
    expect(inspectAnswer(image, contentType, head)).toBeUndefined();
  });

  test('of XML may be an OVF descriptor, but only where one is declared', () => {
    const descriptor = Buffer.from(descriptors[0]![1]).subarray(0, 512);
    expect(inspectAnswer(as('VMDK', 'OVF'), 'text/xml', descriptor)).toBeUndefined();
    expect(inspectAnswer(as('VMDK', 'OVF'), 'text/html', html)).toMatchObject({ found: 'html' });
    const error = Buffer.from('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>');
    expect(inspectAnswer(as('VMDK', 'OVF'), 'text/xml', error)).toMatchObject({ found: 'xml' });
    expect(inspectAnswer(as('VMDK'), 'text/xml', descriptor)).toMatchObject({ found: 'xml' });
  });
});

import { SaxesParser, type SaxesTagNS } from 'saxes';
import { quoted } from '../domain/quoted.ts';
import { mismatch, unsafe } from './inspection.ts';
import { outermostTag, type DocumentKind } from './plain-document.ts';
import { leadsOutside } from './tar-archive.ts';

/** A file of a package. */
export interface OvfFile {
  readonly id: string;
  /** The name by which it is found beside the descriptor. */
  readonly name: string;
  /** Bytes, where they are told. */
  readonly size: number | undefined;
  readonly isCompressed: boolean;
}

/** A virtual disk of a package. */
export interface OvfDisk {
  /** The id of its file; undefined for a disk that is made empty. */
  readonly fileId: string | undefined;
  /** Bytes, where they are told. */
  readonly capacity: number | undefined;
}

/** What a descriptor says of the files beside it. */
export interface OvfDescriptor {
  /** In the order in which an archive has them. */
  readonly files: readonly OvfFile[];
  readonly disks: readonly OvfDisk[];
}

/** Of OVF 1.x and 2.x, and of the draft that is still found. */
const envelopes: ReadonlySet<string> = new Set([
  'http://schemas.dmtf.org/ovf/envelope/1',
  'http://schemas.dmtf.org/ovf/envelope/2',
  'http://www.vmware.com/schema/ovf/1/envelope',
]);

/**
 * Whether a document may be a descriptor, as far as its beginning tells.
 *
 * @param head the first 512 bytes, or all of fewer.
 */
export function mayBeDescriptor(document: DocumentKind, head: Uint8Array): boolean {
  const tag = outermostTag(head);
  return document === 'xml' && (tag === undefined || mayBeEnvelope(tag));
}

/** @param tag as it is written; its end may be missing. */
function mayBeEnvelope(tag: string): boolean {
  const [, name] = /^<(?:[^\s:/>]*:)?([^\s:/>]*)/.exec(tag) ?? [];
  const isWhole = tag.endsWith('>');
  return name === 'Envelope' && (!isWhole || [...envelopes].some((uri) => tag.includes(uri)));
}

const maxElements = 512;
const maxDepth = 64;

/**
 * Reads an OVF descriptor (DMTF DSP0243). Entities and a DTD, with which XML can reach out or grow, are refused.
 *
 * @throws Refusal: where it is none, and where it refers to anything outside the package.
 */
export function readOvfDescriptor(bytes: Uint8Array): OvfDescriptor {
  const files: OvfFile[] = [];
  const disks: OvfDisk[] = [];
  const parser = new SaxesParser({ xmlns: true });
  let depth = 0;
  parser.on('doctype', () => {
    throw unsafe(
      'DTD',
      `its descriptor has a DTD, which no descriptor needs, and with which XML can read other files. Remove it`,
    );
  });
  parser.on('error', (error) => {
    throw unreadable(`it is no well-formed XML: ${quoted(error.message)}`);
  });
  parser.on('opentag', (tag) => {
    depth += 1;
    if (depth === 1 && !(tag.local === 'Envelope' && envelopes.has(tag.uri))) {
      throw unreadable(`its outermost element is ${quoted(tag.name)} and no Envelope of OVF`);
    }
    if (depth > maxDepth || files.length + disks.length >= maxElements) {
      throw unsafe('descriptor beyond reason', 'its descriptor has more in it than any needs');
    }
    if (envelopes.has(tag.uri) && tag.local === 'File') {
      files.push(readFile(tag));
    } else if (envelopes.has(tag.uri) && /^(?:Shared)?Disk$/.test(tag.local)) {
      disks.push(readDisk(tag));
    }
  });
  parser.on('closetag', () => {
    depth -= 1;
  });
  parser.write(textOf(bytes)).close();
  return { files, disks };
}

function textOf(bytes: Uint8Array): string {
  const mark = Buffer.from(bytes.subarray(0, 2)).toString('hex');
  const encoding = mark === 'fffe' ? 'utf-16le' : mark === 'feff' ? 'utf-16be' : 'utf-8';
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw unreadable('it is not in UTF-8');
  }
}

function readFile(tag: SaxesTagNS): OvfFile {
  const href = attribute(tag, 'href') ?? '';
  if (attribute(tag, 'chunkSize') !== undefined) {
    throw mismatch(
      'file in pieces',
      `its descriptor says that the file ${quoted(href)} is cut in pieces, which cannot be looked into. Pack it without chunks`,
    );
  }
  const compression = attribute(tag, 'compression') ?? 'identity';
  if (!['', 'identity', 'gzip'].includes(compression)) {
    throw mismatch(
      'unknown compression',
      `its descriptor says that the file ${quoted(href)} is compressed by ${quoted(compression)}, and only gzip is known. Pack it with gzip, or without`,
    );
  }
  return {
    id: attribute(tag, 'id') ?? '',
    name: nameIn(href),
    size: wholeNumber(attribute(tag, 'size')),
    isCompressed: compression === 'gzip',
  };
}

function readDisk(tag: SaxesTagNS): OvfDisk {
  if ((attribute(tag, 'parentRef') ?? '') !== '') {
    throw unsafe(
      'parent disk',
      'one of its disks is the difference to another one. Merge them, and pack it anew',
    );
  }
  const units = unitsOf(attribute(tag, 'capacityAllocationUnits') ?? 'byte');
  const capacity = wholeNumber(attribute(tag, 'capacity'));
  const bytes = capacity === undefined || units === undefined ? undefined : capacity * units;
  return {
    fileId: attribute(tag, 'fileRef'),
    capacity: bytes !== undefined && Number.isSafeInteger(bytes) ? bytes : undefined,
  };
}

/** An attribute of OVF's, which readers find with and without its namespace: so it must be there only once. */
function attribute(tag: SaxesTagNS, name: string): string | undefined {
  const found = Object.values(tag.attributes).filter(
    ({ local, uri }) => local === name && (uri === '' || envelopes.has(uri)),
  );
  if (found.length > 1) {
    throw unsafe(
      'ambiguous descriptor',
      `an element of its descriptor has ${quoted(name)} twice, so that readers disagree about it. Write it once`,
    );
  }
  return found[0]?.value;
}

/** A reference is relative to the descriptor, and percent-encoded as a URI is. */
function nameIn(href: string): string {
  const name = decoded(href).replace(/^(?:\.\/+)+/, '');
  if (name === '' || /^[a-z][a-z\d+.-]*:/i.test(href) || leadsOutside(href) || leadsOutside(name)) {
    throw unsafe(
      'reference outside',
      `its descriptor refers to ${quoted(href)}, and who opens it would read that instead of a file of the archive. Pack the file into the archive`,
    );
  }
  return name;
}

function decoded(href: string): string {
  try {
    return decodeURIComponent(href);
  } catch {
    return href;
  }
}

/** Undefined where it is none, such as a reference to a property that is set at deployment. */
function wholeNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/** Bytes of a programmatic unit (DMTF DSP0004, annex C), such as `byte * 2^30`; undefined where it is not known. */
function unitsOf(units: string): number | undefined {
  const [, base, power] =
    /^byte(?:\s*\*\s*(\d{1,4})(?:\s*\^\s*(\d{1,2}))?)?$/i.exec(units.trim()) ?? [];
  if (base === undefined) {
    return /^byte$/i.test(units.trim()) ? 1 : undefined;
  }
  return Number(base) ** Number(power ?? 1);
}

function unreadable(why: string) {
  return mismatch(
    'unreadable descriptor',
    `its first file is no OVF descriptor: ${why}. Pack the descriptor first, as it was exported`,
  );
}

import { quoted } from '../domain/quoted.ts';
import { beyondReason, convertCommand, unsafe, type Refusal } from './inspection.ts';

/** The kinds of disk that are one file, and that hold all their bytes themselves. */
const createTypes = new Set(['monolithicSparse', 'streamOptimized']);
const noParent = 'ffffffff';
const maxLines = 4096;

/**
 * Whether a file begins as a descriptor does (VMware's Virtual Disk Format 5.0, "The Descriptor
 * File"), or as QEMU's vmdk_probe takes for one: after comments and empty lines comes a version.
 */
export function isVmdkDescriptorText(head: Uint8Array): boolean {
  const text = Buffer.from(head).toString('latin1');
  return (
    /^# *disk descriptorfile/i.test(text) ||
    /^(?:#[^\n]*\n|[\r\n]| +\r?\n)*version=[123]\r?\n/.test(text)
  );
}

/**
 * Checks the descriptor inside a sparse file: it must name no other file than the one it is in.
 *
 * Readers differ in how they find a key; QEMU takes the first place where its name stands, be it in a
 * comment. So each name may stand once only, and no line may be anything but what is known.
 */
export function checkVmdkDescriptor(bytes: Uint8Array): void {
  const end = bytes.indexOf(0);
  if (end === -1) {
    throw unsafe(
      'unreadable descriptor',
      `its descriptor does not end with a zero, so that readers may take what follows for more of it. Make it anew: ${convertToSparse}`,
    );
  }
  const text = Buffer.from(bytes.subarray(0, end)).toString();
  const lines = text.split(/\r?\n/);
  if (lines.length > maxLines) {
    throw beyondReason('descriptor', 'vmdk');
  }
  const extents: Extent[] = [];
  const values = new Map<string, string>();
  for (const line of lines.map((line) => line.trim())) {
    // A lone carriage return would begin a new line for some readers.
    if (/[^\P{Cc}\t]/u.test(line)) {
      throw unknownLine(line);
    }
    const extent = parseExtent(line);
    if (extent !== undefined) {
      extents.push(extent);
    } else if (line !== '' && !line.startsWith('#')) {
      const { key, value } = parseValue(line);
      values.set(key, value);
    }
  }
  refuseParent(text, values);
  refuseCreateType(text, values);
  refuseExtents(extents);
}

/** The refusal of a disk whose bytes are in files beside the descriptor. */
export function extentsElsewhere(): Refusal {
  return unsafe(
    'extents in other files',
    `it is a descriptor that names other files for its bytes, and who opens it would read those of the host. Make one file of them: ${convertToSparse}`,
  );
}

const convertToSparse = `${convertCommand('vmdk')} -o subformat=streamOptimized`;

interface Extent {
  readonly type: string;
  readonly file: string;
}

function parseExtent(line: string): Extent | undefined {
  const match = /^(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\w+)(?:\s+"([^"]*)"(?:\s+\d+)?)?$/i.exec(line);
  return match?.[1] === undefined ? undefined : { type: match[1], file: match[2] ?? '' };
}

function parseValue(line: string): { key: string; value: string } {
  const match = /^([\w.:-]+)\s*=\s*(?:"([^"]*)"|([^\s"]*))$/.exec(line);
  if (match?.[1] === undefined) {
    throw unknownLine(line);
  }
  return { key: match[1].toLowerCase(), value: match[2] ?? match[3] ?? '' };
}

function refuseParent(text: string, values: ReadonlyMap<string, string>): void {
  const parent = values.get('parentcid')?.toLowerCase();
  const parentUuid = values.get('ddb.uuid.parent') ?? '';
  if (
    occurrences(text, 'parentFileNameHint') > 0 ||
    (parent !== undefined && parent !== noParent) ||
    /[1-9a-f]/i.test(parentUuid)
  ) {
    throw unsafe(
      'parent disk',
      `it has a parent disk, and who opens it would read that file of the host. Flatten it: ${convertToSparse}`,
    );
  }
  if (parent === undefined || occurrences(text, 'parentCID') !== 1) {
    throw notOnce('parentCID');
  }
}

function refuseCreateType(text: string, values: ReadonlyMap<string, string>): void {
  const createType = values.get('createtype');
  if (createType === undefined || occurrences(text, 'createType') !== 1) {
    throw notOnce('createType');
  }
  if (!createTypes.has(createType)) {
    throw unsafe(
      'create type',
      `its createType is ${quoted(createType)}, and only monolithicSparse and streamOptimized hold all their bytes in one file. Convert it: ${convertToSparse}`,
    );
  }
}

function refuseExtents(extents: readonly Extent[]): void {
  const [extent] = extents;
  if (extent === undefined || extents.length > 1) {
    throw unsafe(
      'extents in other files',
      `its descriptor names ${extents.length} extents instead of one. Make one file of them: ${convertToSparse}`,
    );
  }
  if (extent.type.toUpperCase() !== 'SPARSE') {
    throw unsafe(
      'extent type',
      `its extent is of the type ${quoted(extent.type)} instead of SPARSE, and who opens it would read another file or a device of the host. Convert it: ${convertToSparse}`,
    );
  }
  // A colon too: QEMU takes what is before it for a protocol, such as that of a network disk.
  if (/[/\\:]/.test(extent.file)) {
    throw unsafe(
      'extent path',
      `its extent names the path ${quoted(extent.file)} instead of the file itself, and who opens it could read that file of the host. Convert it: ${convertToSparse}`,
    );
  }
}

function unknownLine(line: string): Refusal {
  return unsafe(
    'unreadable descriptor',
    `its descriptor has a line that is not known: ${quoted(line)}. Make it anew: ${convertToSparse}`,
  );
}

function notOnce(key: string): Refusal {
  return unsafe(
    'unreadable descriptor',
    `its descriptor must have ${key} exactly once, or readers disagree about it. Make it anew: ${convertToSparse}`,
  );
}

function occurrences(text: string, key: string): number {
  return text.toLowerCase().split(key.toLowerCase()).length - 1;
}

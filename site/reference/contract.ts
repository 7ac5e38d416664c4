import {
  createFileRegistry,
  fromBinary,
  type DescFile,
  type FileRegistry,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { readFile } from 'node:fs/promises';

/** What the contract declares, as far as it is told in the reference. */
export type Described =
  | DescFile['services'][number]
  | DescFile['services'][number]['methods'][number]
  | DescFile['messages'][number]
  | DescFile['messages'][number]['fields'][number]
  | DescFile['messages'][number]['oneofs'][number]
  | DescFile['enums'][number]
  | DescFile['enums'][number]['values'][number];

/** The contract with its comments. */
export interface Contract {
  /** The files of `darkroom.v1`, in the order of their names. */
  readonly files: readonly DescFile[];
  readonly registry: FileRegistry;
  /** The comment that stands before a declaration, its lines without the marks of a comment; empty where there is none. */
  comment(of: Described): string;
}

/** Numbers of the fields in a descriptor by which SourceCodeInfo finds what a comment belongs to. */
const fieldNumbers = {
  message: 4,
  enum: 5,
  service: 6,
  nestedMessage: 3,
  nestedEnum: 4,
  field: 2,
  oneof: 8,
  value: 2,
  method: 2,
} as const;

/**
 * Reads the contract from what `npm run generate` has made of `proto/`.
 *
 * @throws what the file system throws.
 */
export async function readContract(descriptors: string | URL): Promise<Contract> {
  const set = fromBinary(FileDescriptorSetSchema, await readFile(descriptors));
  const registry = createFileRegistry(set);
  const files = [...registry.files]
    .filter((file) => file.proto.package === 'darkroom.v1')
    .toSorted((a, b) => a.name.localeCompare(b.name));
  const comments = new Map(files.map((file) => [file.name, commentsOf(file)]));
  return {
    files,
    registry,
    comment(of) {
      const file = fileOf(of);
      return comments.get(file.name)?.get(pathOf(of).join('.')) ?? '';
    },
  };
}

function commentsOf(file: DescFile): Map<string, string> {
  const locations = file.proto.sourceCodeInfo?.location ?? [];
  return new Map(
    locations
      .filter(({ leadingComments }) => leadingComments !== '')
      .map(({ path, leadingComments }) => [
        path.join('.'),
        leadingComments.replaceAll(/^ /gm, '').trim(),
      ]),
  );
}

function fileOf(of: Described): DescFile {
  switch (of.kind) {
    case 'rpc':
    case 'field':
    case 'oneof':
    case 'enum_value':
      return of.parent.file;
    default:
      return of.file;
  }
}

function pathOf(of: Described): number[] {
  switch (of.kind) {
    case 'service':
      return [fieldNumbers.service, of.file.services.indexOf(of)];
    case 'rpc':
      return [...pathOf(of.parent), fieldNumbers.method, of.parent.methods.indexOf(of)];
    case 'message':
      return of.parent === undefined
        ? [fieldNumbers.message, of.file.messages.indexOf(of)]
        : [...pathOf(of.parent), fieldNumbers.nestedMessage, of.parent.nestedMessages.indexOf(of)];
    case 'enum':
      return of.parent === undefined
        ? [fieldNumbers.enum, of.file.enums.indexOf(of)]
        : [...pathOf(of.parent), fieldNumbers.nestedEnum, of.parent.nestedEnums.indexOf(of)];
    case 'enum_value':
      return [...pathOf(of.parent), fieldNumbers.value, of.parent.values.indexOf(of)];
    case 'field':
      return [...pathOf(of.parent), fieldNumbers.field, of.parent.fields.indexOf(of)];
    case 'oneof':
      return [...pathOf(of.parent), fieldNumbers.oneof, of.parent.oneofs.indexOf(of)];
  }
}

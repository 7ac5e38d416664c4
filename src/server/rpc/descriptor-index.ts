import { readFileSync } from 'node:fs';
import {
  createFileRegistry,
  fromBinary,
  toBinary,
  type DescFile,
  type DescService,
  type FileRegistry,
} from '@bufbuild/protobuf';
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  type FileDescriptorProto,
} from '@bufbuild/protobuf/wkt';

/** Made by `npm run generate`: the generated code's own descriptors have lost the comments. */
const descriptorSet = new URL('../../../gen/descriptors.binpb', import.meta.url);

/** The descriptors of some services and of all that they are made of. */
export class DescriptorIndex {
  readonly #registry: FileRegistry;
  readonly #byName = new Map<string, DescFile>();
  readonly #bySymbol = new Map<string, DescFile>();
  readonly #encoded = new Map<DescFile, Uint8Array>();

  constructor(services: readonly DescService[]) {
    const commented = fromBinary(FileDescriptorSetSchema, readFileSync(descriptorSet));
    const commentedByName = new Map(commented.file.map((file) => [file.name, file]));
    const embedded = new Map<string, FileDescriptorProto>();
    for (const service of services) {
      collect(service.file, embedded);
    }
    const files = [...embedded].map(([name, file]) => commentedByName.get(name) ?? file);
    this.#registry = createFileRegistry({
      $typeName: 'google.protobuf.FileDescriptorSet',
      file: files,
    });
    for (const file of this.#registry.files) {
      this.#byName.set(file.proto.name, file);
      for (const symbol of symbolsOf(file)) {
        this.#bySymbol.set(symbol, file);
      }
    }
  }

  /** The file of that name, such as `darkroom/v1/task.proto`. */
  fileByName(name: string): DescFile | undefined {
    return this.#byName.get(name);
  }

  /** The file that declares a symbol of any kind, by its full name: `darkroom.v1.Task.state`. */
  fileBySymbol(symbol: string): DescFile | undefined {
    return this.#bySymbol.get(symbol);
  }

  /** The file that declares the extension of a message with that number. */
  fileByExtension(typeName: string, number: number): DescFile | undefined {
    const message = this.#registry.getMessage(typeName);
    return message && this.#registry.getExtensionFor(message, number)?.file;
  }

  /** The numbers of all extensions of a message; undefined if there is no such message. */
  extensionNumbers(typeName: string): number[] | undefined {
    if (this.#registry.getMessage(typeName) === undefined) {
      return undefined;
    }
    return [...this.#registry]
      .filter((type) => type.kind === 'extension' && type.extendee.typeName === typeName)
      .map((extension) => (extension.kind === 'extension' ? extension.number : 0));
  }

  /** A file with all that it imports, itself first. */
  withImports(file: DescFile, found = new Set<DescFile>()): Set<DescFile> {
    found.add(file);
    for (const dependency of file.dependencies) {
      if (!found.has(dependency)) {
        this.withImports(dependency, found);
      }
    }
    return found;
  }

  /** A file as a serialized FileDescriptorProto. */
  encoded(file: DescFile): Uint8Array {
    let bytes = this.#encoded.get(file);
    if (bytes === undefined) {
      bytes = toBinary(FileDescriptorProtoSchema, file.proto);
      this.#encoded.set(file, bytes);
    }
    return bytes;
  }
}

/** A file after all that it imports, since a registry must be given them in that order. */
function collect(file: DescFile, into: Map<string, FileDescriptorProto>): void {
  if (into.has(file.proto.name)) {
    return;
  }
  for (const dependency of file.dependencies) {
    collect(dependency, into);
  }
  into.set(file.proto.name, file.proto);
}

function* symbolsOf(file: DescFile): Iterable<string> {
  for (const service of file.services) {
    yield service.typeName;
    for (const method of service.methods) {
      yield `${service.typeName}.${method.name}`;
    }
  }
  yield* file.extensions.map((extension) => extension.typeName);
  yield* enumSymbols(file.enums);
  yield* messageSymbols(file.messages);
}

function* enumSymbols(enums: DescFile['enums']): Iterable<string> {
  for (const enumeration of enums) {
    yield enumeration.typeName;
    const scope = enumeration.typeName.slice(0, enumeration.typeName.lastIndexOf('.'));
    for (const value of enumeration.values) {
      // The names of values live beside their enum, not in it.
      yield `${scope}.${value.name}`;
    }
  }
}

function* messageSymbols(messages: DescFile['messages']): Iterable<string> {
  for (const message of messages) {
    yield message.typeName;
    yield* message.fields.map((field) => `${message.typeName}.${field.name}`);
    yield* message.oneofs.map((oneof) => `${message.typeName}.${oneof.name}`);
    yield* message.nestedExtensions.map((extension) => extension.typeName);
    yield* enumSymbols(message.nestedEnums);
    yield* messageSymbols(message.nestedMessages);
  }
}

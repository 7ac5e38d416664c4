import type { DescEnum, DescFile, DescMessage } from '@bufbuild/protobuf';
import { posix } from 'node:path';
import { contractPage } from '../places.ts';
import type { LinkOf } from './comment-html.ts';
import type { Contract } from './contract.ts';

/** The anchor of a method, or of a message or enum within the package: `Image.State` is `image-state`. */
export function anchorOf(name: string): string {
  return name.replaceAll('.', '-').toLowerCase();
}

/** The name of a message or an enum within its package: `Image.State`. */
export function shortName({ typeName, file }: DescMessage | DescEnum): string {
  return file.proto.package === 'darkroom.v1' ? typeName.slice('darkroom.v1.'.length) : typeName;
}

/** A file's messages and enums, with those that stand in others, in their order. */
export function typesOf(file: DescFile): readonly (DescMessage | DescEnum)[] {
  const within = (message: DescMessage): readonly (DescMessage | DescEnum)[] => [
    message,
    ...message.nestedEnums,
    ...message.nestedMessages.filter(({ proto }) => !proto.options?.mapEntry).flatMap(within),
  ];
  return [...file.messages.flatMap(within), ...file.enums];
}

/** The page of a file of the contract, beside the other pages of the reference. */
export function besides(file: DescFile): string {
  return posix.basename(contractPage(`proto/${file.name}.proto`));
}

/** Where the names that comments use lead to, from one page of the reference to another or on it. */
export function linksOf(contract: Contract): LinkOf {
  const places = new Map<string, string>();
  for (const file of contract.files) {
    for (const type of typesOf(file)) {
      places.set(shortName(type), `${besides(file)}#${anchorOf(shortName(type))}`);
    }
    for (const service of file.services) {
      places.set(service.name, besides(file));
      for (const { name } of service.methods) {
        places.set(name, `${besides(file)}#${anchorOf(name)}`);
        places.set(`${service.name}.${name}`, `${besides(file)}#${anchorOf(name)}`);
      }
    }
  }
  return (name) => {
    const place = places.get(name);
    if (place !== undefined) {
      // A word such as Image or Task is more often the thing than the message.
      return /^[A-Z][a-z]+$/.test(name) ? undefined : place;
    }
    // A field, or a value of an enum, leads to what it stands in.
    const parent = name.split('.').slice(0, -1).join('.');
    return places.get(parent);
  };
}

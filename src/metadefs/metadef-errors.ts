import { DarkroomError } from '../domain/darkroom-error.ts';
import { quoted } from '../domain/quoted.ts';
import type { MetadefKind } from '../records/metadef-entry.ts';
import type { MetadefNamespace } from '../records/metadef-namespace.ts';

/** What definitions are called for people. */
const words: Readonly<Record<MetadefKind, string>> = {
  OBJECT: 'object',
  PROPERTY: 'property',
  TAG: 'tag',
  RESOURCE_TYPE: 'resource type',
};

/** The error for a namespace that is not there, or that the caller may not see. */
export function namespaceNotFound(name: string): DarkroomError {
  return new DarkroomError('METADEF_NOT_FOUND', `There is no namespace ${quoted(name)}.`);
}

/** The error for a definition that is not there. */
export function entryNotFound(namespace: string, kind: MetadefKind, name: string): DarkroomError {
  return new DarkroomError(
    'METADEF_NOT_FOUND',
    `Namespace ${quoted(namespace)} has no ${words[kind]} ${quoted(name)}.`,
  );
}

/** The error for a name that another namespace has, which may be one of another project. */
export function namespaceExists(name: string, cause?: unknown): DarkroomError {
  return new DarkroomError(
    'METADEF_EXISTS',
    `There is a namespace ${quoted(name)} already, here or in another project: use another name.`,
    { cause },
  );
}

/** The error for a name that another definition has. */
export function entryExists(namespace: string, kind: MetadefKind, name: string): DarkroomError {
  return new DarkroomError(
    'METADEF_EXISTS',
    `Namespace ${quoted(namespace)} has a ${words[kind]} ${quoted(name)} already: change that, or use another name.`,
  );
}

/** The error for what may not be deleted. */
export function namespaceProtected({ namespace }: Readonly<MetadefNamespace>): DarkroomError {
  return new DarkroomError(
    'METADEF_PROTECTED',
    `Namespace ${quoted(namespace)} is protected: neither it nor anything of it is deleted. Set its protected to false first.`,
  );
}

/** The error for a namespace that the caller sees and that belongs to another project. */
export function namespaceNotOwned({ namespace }: Readonly<MetadefNamespace>): DarkroomError {
  return new DarkroomError(
    'METADEF_NOT_OWNED',
    `Namespace ${quoted(namespace)} belongs to another project, which alone may change it.`,
  );
}

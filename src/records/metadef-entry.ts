import { defineEntity, p } from '@mikro-orm/core';
import type { MetadefEntryId, MetadefNamespaceId } from './ids.ts';

/**
 * What a namespace has: properties that something may have, objects that are made of such, tags, and the types of resources
 * that all of it is meant for.
 */
export const metadefKinds = ['OBJECT', 'PROPERTY', 'TAG', 'RESOURCE_TYPE'] as const;
export type MetadefKind = (typeof metadefKinds)[number];

const MetadefEntrySchema = defineEntity({
  name: 'MetadefEntry',
  tableName: 'metadef_entries',
  properties: {
    /** Later ones have greater ids. */
    id: p.uuid().primary().$type<MetadefEntryId>(),
    namespaceId: p.uuid().$type<MetadefNamespaceId>(),
    kind: p.text().$type<MetadefKind>(),
    /** Once in its namespace and kind. */
    name: p.text(),
    /** What is said of it besides its name, as it was said. */
    content: p.json<Readonly<Record<string, unknown>>>(),
    createTime: p.datetime(3),
    updateTime: p.datetime(3),
  },
});

/** A row of `metadef_entries`. */
export class MetadefEntry extends MetadefEntrySchema.class {}
MetadefEntrySchema.setClass(MetadefEntry);
export { MetadefEntrySchema };

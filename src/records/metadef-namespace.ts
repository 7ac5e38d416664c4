import { defineEntity, p } from '@mikro-orm/core';
import type { MetadefNamespaceId } from './ids.ts';

/** Who may see a namespace of metadata definitions: all projects, or its own. */
export const metadefVisibilities = ['PUBLIC', 'PRIVATE'] as const;
export type MetadefVisibility = (typeof metadefVisibilities)[number];

const MetadefNamespaceSchema = defineEntity({
  name: 'MetadefNamespace',
  tableName: 'metadef_namespaces',
  properties: {
    id: p.uuid().primary().$type<MetadefNamespaceId>(),
    projectId: p.text(),
    /** By which it is addressed: there is no other of this name, of whatever project. */
    namespace: p.text(),
    displayName: p.text().nullable(),
    description: p.text().nullable(),
    visibility: p.text().$type<MetadefVisibility>(),
    /** Whether nothing of it may be deleted. */
    protected: p.boolean(),
    createTime: p.datetime(3),
    updateTime: p.datetime(3),
  },
});

/** A row of `metadef_namespaces`: definitions of metadata that belong together. */
export class MetadefNamespace extends MetadefNamespaceSchema.class {}
MetadefNamespaceSchema.setClass(MetadefNamespace);
export { MetadefNamespaceSchema };

import type { MetadefEntry, MetadefKind } from '../records/metadef-entry.ts';
import type { MetadefNamespace } from '../records/metadef-namespace.ts';

/** The fields of a namespace that its maker sets and may change later; nothing is checked yet. */
export interface NamespaceFields {
  readonly namespace: string;
  readonly displayName: string | null;
  readonly description: string | null;
  /** Undefined stands for PRIVATE. */
  readonly visibility: string | undefined;
  readonly protected: boolean;
  /** The project that is to own it; empty for the caller's. */
  readonly projectId: string;
}

/** A definition as it is sent; nothing is checked yet. */
export interface EntryFields {
  readonly kind: MetadefKind;
  readonly name: string;
  /** What is said of it besides its name. */
  readonly content: Readonly<Record<string, unknown>>;
}

/** A namespace with what it has. */
export interface WholeNamespace {
  readonly namespace: Readonly<MetadefNamespace>;
  /** The newest first. */
  readonly entries: readonly Readonly<MetadefEntry>[];
}

/** What namespaces can be sorted by. */
export const namespaceSortKeys = [
  'created_at',
  'updated_at',
  'namespace',
  'display_name',
  'visibility',
  'owner',
] as const;
export type NamespaceSortKey = (typeof namespaceSortKeys)[number];

/** What a list of namespaces is asked. */
export interface ListNamespacesRequest {
  /** Undefined for both. */
  readonly visibility: string | undefined;
  /** Those that are meant for one of these types of resources; empty for all. */
  readonly resourceTypes: readonly string[];
  readonly sortBy: NamespaceSortKey;
  readonly direction: 'asc' | 'desc';
  readonly limit: number;
  /** The namespace after which the page begins. */
  readonly after: string | undefined;
}

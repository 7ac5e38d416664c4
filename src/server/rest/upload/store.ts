/** The one store that there is, as Glance's clients name it. */
export const storeId = 'file';

/** How an image's bytes may come, besides by PUT to its file. */
export const importMethods = ['glance-direct', 'web-download', 'copy-image'] as const;
export type ImportMethod = (typeof importMethods)[number];

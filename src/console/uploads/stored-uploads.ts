/** What this browser remembers of an upload, so that it goes on after a reload. */
export interface StoredUpload {
  readonly taskId: string;
  readonly imageId: string;
  readonly name: string;
  readonly fileName: string;
  readonly size: number;
  readonly lastModified: number;
  readonly begunMs: number;
  /** Leads to the file again, in browsers that have such. */
  readonly handle?: FileSystemFileHandle | undefined;
}

const databaseName = 'darkroom';
const storeName = 'uploads';

/** Where there is no database, as in some private windows, uploads go on as long as their page is open. */
let opened: Promise<IDBDatabase | undefined> | undefined;

function open(): Promise<IDBDatabase | undefined> {
  opened ??= new Promise((resolve) => {
    try {
      const request = indexedDB.open(databaseName, 1);
      request.addEventListener('upgradeneeded', () => {
        request.result.createObjectStore(storeName, { keyPath: 'taskId' });
      });
      request.addEventListener('success', () => resolve(request.result));
      request.addEventListener('error', () => resolve(undefined));
    } catch {
      resolve(undefined);
    }
  });
  return opened;
}

async function act<T>(
  mode: IDBTransactionMode,
  ask: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T | undefined> {
  const database = await open();
  return database === undefined
    ? undefined
    : new Promise((resolve, reject) => {
        const request = ask(database.transaction(storeName, mode).objectStore(storeName));
        request.addEventListener('success', () => resolve(request.result));
        request.addEventListener('error', () =>
          reject(request.error ?? new Error('the browser did not say why')),
        );
      });
}

/** All that are remembered, oldest first. */
export async function storedUploads(): Promise<readonly StoredUpload[]> {
  const all = ((await act('readonly', (store) => store.getAll())) ?? []) as StoredUpload[];
  return all.toSorted((a, b) => a.begunMs - b.begunMs);
}

/** Remembers an upload. */
export async function storeUpload(upload: StoredUpload): Promise<void> {
  await act('readwrite', (store) => store.put(upload));
}

/** Forgets an upload; one that is not remembered, too. */
export async function forgetUpload(taskId: string): Promise<void> {
  await act('readwrite', (store) => store.delete(taskId));
}

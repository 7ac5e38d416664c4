import { signal } from '@preact/signals';

/** A file that the reader has given to the page, and what leads to it again where the browser has such. */
export interface GivenFile {
  readonly file: File;
  readonly handle?: FileSystemFileHandle | undefined;
}

/** Whether a new image is being asked for, and of which file. */
export const newImageAsked = signal<{ readonly given?: GivenFile | undefined } | undefined>(
  undefined,
);

/** Asks what the new image is to be. */
export function newImage(given?: GivenFile): void {
  newImageAsked.value = { given };
}

/** What a drop brings: its first file. */
export async function givenByDrop(transfer: DataTransfer): Promise<GivenFile | undefined> {
  const item = [...transfer.items].find(({ kind }) => kind === 'file');
  const file = item?.getAsFile() ?? undefined;
  if (item === undefined || file === undefined) {
    return undefined;
  }
  // Must be asked for before anything is awaited: what was dropped is gone after that.
  const asking = item as DataTransferItem & {
    getAsFileSystemHandle?(): Promise<FileSystemHandle | null>;
  };
  const handle = await asking.getAsFileSystemHandle?.().catch(() => null);
  return handle?.kind === 'file' ? { file, handle: handle as FileSystemFileHandle } : { file };
}

/** Has the reader choose a file where the browser gives a handle with it; undefined where it has no such, or none was chosen. */
export async function givenByPicker(): Promise<GivenFile | undefined> {
  const picking = window as unknown as {
    showOpenFilePicker?(): Promise<FileSystemFileHandle[]>;
  };
  try {
    const [handle] = (await picking.showOpenFilePicker?.()) ?? [];
    return handle === undefined ? undefined : { file: await handle.getFile(), handle };
  } catch {
    return undefined;
  }
}

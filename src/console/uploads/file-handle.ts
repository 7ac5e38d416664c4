import type { StoredUpload } from './stored-uploads.ts';

/** The file that a handle leads to, if this browser keeps such and the reader allows it. @param mayAsk whether to ask for that now. */
export async function fileOfHandle(
  { handle }: StoredUpload,
  mayAsk: boolean,
): Promise<File | undefined> {
  if (handle === undefined) {
    return undefined;
  }
  try {
    const asking = handle as FileSystemFileHandle & {
      queryPermission?(to: { mode: 'read' }): Promise<PermissionState>;
      requestPermission?(to: { mode: 'read' }): Promise<PermissionState>;
    };
    const standing = await (mayAsk
      ? asking.requestPermission?.({ mode: 'read' })
      : asking.queryPermission?.({ mode: 'read' }));
    return standing === 'granted' ? await handle.getFile() : undefined;
  } catch {
    // It was moved or deleted.
    return undefined;
  }
}

/**
 * Has an upload for this tab alone: two tabs would take it from each other for ever. Waits until no other one has it.
 *
 * Pages that came without TLS from another machine have no locks; there the service’s fence keeps two from mixing, and the
 * older one stops.
 *
 * @param onWait called if another tab has it.
 * @returns gives it back; undefined where `signal` ended the wait.
 */
export async function lockUpload(
  taskId: string,
  signal: AbortSignal,
  onWait: () => void,
): Promise<(() => void) | undefined> {
  const { locks } = navigator as { readonly locks?: LockManager };
  if (locks === undefined) {
    return () => undefined;
  }
  const name = `darkroom-upload-${taskId}`;
  const held = await hold((holding) => locks.request(name, { ifAvailable: true }, holding));
  if (held !== undefined) {
    return held;
  }
  onWait();
  try {
    return await hold((holding) => locks.request(name, { signal }, holding));
  } catch {
    return undefined;
  }
}

/** Holds a lock until it is given back; undefined where another one has it. */
function hold(
  request: (holding: (lock: Lock | null) => Promise<void> | undefined) => Promise<unknown>,
): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    const asked = request((lock) => {
      if (lock === null) {
        resolve(undefined);
        return undefined;
      }
      return new Promise<void>((release) => resolve(release));
    });
    asked.catch(reject);
  });
}

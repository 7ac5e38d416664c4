/** Whether the service can do its work. */
export interface HealthSource {
  status(): 'SERVING' | 'NOT_SERVING';
  /** Why it is not serving, in a reason's form; undefined while it is. */
  reason(): string | undefined;
  /** The same for people, if there is more to say; undefined while it is serving. */
  message?(): string | undefined;
  /** Calls back after each change of the status, until the returned function is called. */
  onChange(callback: () => void): () => void;
}

/** The same source, but not serving as soon as the signal fires. */
export function unlessDraining(source: HealthSource, drainSignal: AbortSignal): HealthSource {
  return {
    status: () => (drainSignal.aborted ? 'NOT_SERVING' : source.status()),
    reason: () => (drainSignal.aborted ? 'SERVER_DRAINING' : source.reason()),
    message: () => (drainSignal.aborted ? undefined : source.message?.()),
    onChange(callback) {
      const unsubscribe = source.onChange(callback);
      drainSignal.addEventListener('abort', callback);
      return () => {
        unsubscribe();
        drainSignal.removeEventListener('abort', callback);
      };
    },
  };
}

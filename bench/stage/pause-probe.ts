import { appendFileSync, writeFileSync } from 'node:fs';
import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { isMainThread } from 'node:worker_threads';

/** What Node tells of a collection. */
interface CollectionDetail {
  readonly kind: number;
}

/**
 * Goes into a process that is measured, by `--import`: writes how long each full collection held its event loop, in ms, a line
 * each, into the file of that environment variable.
 */
const file = process.env['PAUSES_FILE'];
if (file !== undefined && isMainThread) {
  writeFileSync(file, '');
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { duration, detail } = entry as PerformanceEntry & {
        readonly detail: CollectionDetail;
      };
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) {
        appendFileSync(file, `${duration}\n`);
      }
    }
  }).observe({ entryTypes: ['gc'] });
}

import type { DarkroomError } from '../domain/darkroom-error.ts';
import { faultOf, type FaultReport } from '../tasks/ledger/fault-report.ts';
import type { LockedEntry } from '../tasks/ledger/locked-entry.ts';
import { isFatal } from '../uploads/receiving/session-end.ts';
import { ImportOrder } from '../records/import-order.ts';
import type { OrderSecrets } from './sealed-orders.ts';
import { SourceFailure } from './source-failure.ts';
import { withoutSecrets } from './source-secrets.ts';

/** How an import is tried again. Times are in ms. */
export interface RetryPolicy {
  readonly importMaxTries: number;
  readonly importBackoffMs: number;
  readonly importMaxBackoffMs: number;
}

/**
 * Records on an import why a try ended: what may pass is tried again after a while, until the tries are
 * used up, and what will not ends the task.
 *
 * @param sent what the try has sent to its source, which may quote it; undefined if it did not get that far.
 */
export async function settleImport(
  entry: LockedEntry,
  error: DarkroomError,
  policy: RetryPolicy,
  sent: OrderSecrets | undefined,
): Promise<void> {
  const { em, image, now } = entry;
  const order = await em.findOne(ImportOrder, { imageId: image.id });
  const report = tellable(faultOf(error), sent);
  const isFinal = error instanceof SourceFailure ? !error.mayPass : isFatal(error);
  if (!order || isFinal) {
    entry.fail(report);
    return;
  }
  if (error.reason === 'SERVER_DRAINING') {
    // No fault of the source: another process may go on at once.
    const message = 'The service process that fetched the image was stopped. Another one goes on.';
    entry.survive({ ...report, message });
    entry.detachWriter();
    order.nextTryTime = now;
    return;
  }
  order.tries += 1;
  if (order.tries >= policy.importMaxTries) {
    const tries = order.tries === 1 ? 'the only try' : `the last of ${order.tries} tries`;
    const message = `${report.message} That was ${tries}. RetryTask makes more.`;
    entry.fail({ ...report, message });
    return;
  }
  const retryAfterMs = error instanceof SourceFailure ? error.retryAfterMs : 0;
  const waitMs = Math.max(backoff(order.tries, policy), retryAfterMs);
  order.nextTryTime = new Date(now.getTime() + waitMs);
  const next = `Try ${order.tries + 1} of ${policy.importMaxTries} comes in ${(waitMs / 1000).toFixed(1)} s.`;
  entry.survive({ ...report, message: `${report.message} ${next}` });
  entry.detachWriter();
  // The wait is the service's own doing, and must not be what the task expires of.
  entry.signOfLife(waitMs);
}

/** A source's answer is quoted in some faults, and may hold what was sent to it. */
function tellable(report: FaultReport, order: OrderSecrets | undefined): FaultReport {
  if (!order) {
    return report;
  }
  const { message, detail } = report;
  return {
    ...report,
    message: withoutSecrets(message, order),
    ...(detail === undefined ? {} : { detail: withoutSecrets(detail, order) }),
  };
}

/** Doubles with each try; half of it is chance, so that many imports from one source do not come back at once. */
function backoff(tries: number, { importBackoffMs, importMaxBackoffMs }: RetryPolicy): number {
  const longest = Math.min(importMaxBackoffMs, importBackoffMs * 2 ** Math.min(tries - 1, 40));
  return Math.round(longest * (0.5 + Math.random() / 2));
}

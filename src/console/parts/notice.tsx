import type { ComponentChildren } from 'preact';
import type { Failure } from '../service/failure.ts';
import { Button } from './button.tsx';
import { PageTitle } from './page-title.tsx';

/** What stands where there is nothing else: why, and what to do. */
export function Empty({
  title,
  children,
  isPage = false,
}: {
  readonly title: string;
  readonly children?: ComponentChildren;
  /** Whether it is all that there is of a page. */
  readonly isPage?: boolean;
}) {
  return (
    <div class="empty">
      {isPage ? <PageTitle>{title}</PageTitle> : <p class="empty-title">{title}</p>}
      {children}
    </div>
  );
}

/** Something did not work. */
export function FailureNotice({
  failure,
  onAgain,
}: {
  readonly failure: Failure;
  readonly onAgain?: () => void;
}) {
  return (
    <div class="notice notice-bad" role="alert">
      <p>{failure.message}</p>
      {failure.fields.map(({ field, description }) => (
        <p key={field}>
          <code>{field}</code> {description}
        </p>
      ))}
      {failure.reason !== '' && <p class="reason">{failure.reason}</p>}
      {onAgain !== undefined && failure.kind !== 'unreached' && (
        <Button onClick={onAgain}>Try again</Button>
      )}
    </div>
  );
}

/** Rows that are still to come. */
export function Loading({ rows = 6 }: { readonly rows?: number }) {
  return (
    <div class="loading" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, index) => (
        <span key={index} class="loading-row" />
      ))}
    </div>
  );
}

import type { ComponentChildren } from 'preact';
import { goTo } from './location.ts';

/** A link to a page of the console, followed without loading it anew. */
export function Link({
  to,
  children,
  ...rest
}: {
  readonly to: string;
  readonly children: ComponentChildren;
  readonly class?: string;
  readonly 'aria-label'?: string;
  readonly 'aria-current'?: 'page';
}) {
  return (
    <a
      {...rest}
      href={to}
      onClick={(event: MouseEvent) => {
        const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey;
        if (isPlain && !event.altKey && !event.defaultPrevented) {
          event.preventDefault();
          goTo(to);
        }
      }}
    >
      {children}
    </a>
  );
}

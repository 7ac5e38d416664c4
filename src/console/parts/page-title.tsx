import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { hasArrived } from '../routing/location.ts';

/** What a page is. Who comes to it from another one, and hears it or goes by keys, begins here. */
export function PageTitle({ children }: { readonly children: ComponentChildren }) {
  const element = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (hasArrived()) {
      element.current?.focus({ preventScroll: true });
    }
  }, []);
  return (
    <h1 ref={element} tabIndex={-1}>
      {children}
    </h1>
  );
}

import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

/** Rows beyond the window, above and below, that are there for whoever scrolls on. */
const spare = 8;

/**
 * A long list of which only what the window shows is there. It scrolls with the page.
 *
 * @param rowHeight of each row, in px.
 */
export function VirtualRows({
  count,
  rowHeight,
  row,
}: {
  readonly count: number;
  readonly rowHeight: number;
  readonly row: (index: number) => ComponentChildren;
}) {
  const element = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState<readonly [from: number, to: number]>([0, 40]);

  const look = (): void => {
    const top = element.current?.getBoundingClientRect().top ?? 0;
    const from = Math.max(0, Math.floor(-top / rowHeight) - spare);
    const to = Math.ceil((window.innerHeight - top) / rowHeight) + spare;
    setRange((before) => (before[0] === from && before[1] === to ? before : [from, to]));
  };
  useLayoutEffect(look, [count, rowHeight]);
  useEffect(() => {
    window.addEventListener('scroll', look, { passive: true });
    window.addEventListener('resize', look);
    return () => {
      window.removeEventListener('scroll', look);
      window.removeEventListener('resize', look);
    };
  }, [rowHeight]);

  const [from, to] = [Math.min(range[0], count), Math.min(range[1], count)];
  return (
    <div ref={element} role="rowgroup" class="rows" style={{ height: `${count * rowHeight}px` }}>
      <div role="presentation" style={{ transform: `translateY(${from * rowHeight}px)` }}>
        {Array.from({ length: to - from }, (_, index) => row(from + index))}
      </div>
    </div>
  );
}

import { useEffect, useState } from 'preact/hooks';

/** Whether the window is as narrow as a phone. */
export function useIsNarrow(): boolean {
  const query = window.matchMedia('(max-width: 720px)');
  const [isNarrow, setNarrow] = useState(query.matches);
  useEffect(() => {
    const note = (): void => setNarrow(query.matches);
    query.addEventListener('change', note);
    return () => query.removeEventListener('change', note);
  }, []);
  return isNarrow;
}

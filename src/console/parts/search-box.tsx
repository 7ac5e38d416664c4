import { useEffect, useRef } from 'preact/hooks';

/** How long nothing is typed before it is searched for, in ms. */
const restMs = 200;

/** Where one types what one looks for. The key `/` leads here from anywhere on the page. */
export function SearchBox({
  label,
  hint,
  text,
  onText,
}: {
  readonly label: string;
  readonly hint: string;
  readonly text: string;
  readonly onText: (text: string) => void;
}) {
  const input = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const isTyping =
        event.target instanceof Element && event.target.matches('input, textarea, select');
      if (event.key === '/' && !isTyping && document.querySelector('dialog[open]') === null) {
        event.preventDefault();
        input.current?.focus();
      }
    };
    window.addEventListener('keydown', onKey);
    return () => {
      window.removeEventListener('keydown', onKey);
      clearTimeout(timer.current);
    };
  }, []);
  useEffect(() => {
    if (input.current !== null && input.current !== document.activeElement) {
      input.current.value = text;
    }
  }, [text]);
  return (
    <input
      ref={input}
      class="search"
      type="search"
      aria-label={label}
      placeholder={hint}
      defaultValue={text}
      autocomplete="off"
      spellcheck={false}
      onInput={(event) => {
        const { value } = event.currentTarget;
        clearTimeout(timer.current);
        timer.current = setTimeout(() => onText(value.trim()), restMs);
      }}
    />
  );
}

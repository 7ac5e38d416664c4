import { useState } from 'preact/hooks';

/** An id or a digest: can be copied by a press. */
export function Copyable({ text, label }: { readonly text: string; readonly label: string }) {
  const [isCopied, setCopied] = useState(false);
  // Browsers have no clipboard for pages that came without TLS.
  const { clipboard } = navigator as { readonly clipboard?: Clipboard };
  if (clipboard === undefined) {
    return <code class="copyable">{text}</code>;
  }
  return (
    <button
      type="button"
      class="copyable"
      title={isCopied ? 'Copied' : `Copy ${label}`}
      onClick={() => {
        void clipboard.writeText(text).then(
          () => {
            setCopied(true);
            setTimeout(() => setCopied(false), 1500);
          },
          () => undefined,
        );
      }}
    >
      <span class="unseen">Copy {label}: </span>
      <code>{text}</code>
      <span class="copyable-hint" aria-hidden="true">
        {isCopied ? '✓' : 'copy'}
      </span>
    </button>
  );
}

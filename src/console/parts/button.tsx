import type { ButtonHTMLAttributes, ComponentChildren } from 'preact';

/** Something that is done when it is pressed. Where it may not be, it says why instead of going away. */
export function Button({
  children,
  kind = 'plain',
  whyNot,
  ...rest
}: {
  readonly children: ComponentChildren;
  readonly kind?: 'plain' | 'main' | 'danger' | 'bare';
  /** Why it cannot be pressed; undefined where it can. */
  readonly whyNot?: string | undefined;
} & Omit<ButtonHTMLAttributes, 'disabled' | 'className' | 'class'>) {
  const refusal = whyNot === undefined ? {} : { 'aria-disabled': true, title: whyNot };
  return (
    <button
      type="button"
      {...rest}
      {...refusal}
      {...(whyNot === undefined ? {} : { onClick: undefined, type: 'button' as const })}
      class={`button button-${kind}`}
    >
      {children}
    </button>
  );
}

import { signal } from '@preact/signals';

const key = 'darkroom-token';

/** The browser may keep nothing for a page, by its settings; then the token is in memory alone. */
function stored(): string | undefined {
  try {
    return window.sessionStorage.getItem(key) ?? undefined;
  } catch {
    return undefined;
  }
}

const held = signal(stored());

/** By what the reader is known, if by anything. In this tab alone, and gone with it. */
export function token(): string | undefined {
  return held.value;
}

/** Whether the service has asked who the reader is, or does not take what it was told; and why, in its words. */
export const signInAsked = signal<string | undefined>(undefined);

/** The role that the service named when it refused something; undefined as long as it refused nothing. */
export const refusedRole = signal<string | undefined>(undefined);

/** The project that the reader acts in, once it is known. */
export const ownProject = signal<string | undefined>(undefined);

/** Is known by a token from now on. */
export function signIn(newToken: string): void {
  try {
    window.sessionStorage.setItem(key, newToken);
  } catch {
    // Held in memory.
  }
  held.value = newToken;
  forgetStanding();
}

/** Is not known any more. */
export function signOut(): void {
  try {
    window.sessionStorage.removeItem(key);
  } catch {
    // Was in memory alone.
  }
  held.value = undefined;
  forgetStanding();
}

function forgetStanding(): void {
  signInAsked.value = undefined;
  refusedRole.value = undefined;
  ownProject.value = undefined;
}

/** Why the reader may change nothing, as far as that has shown; undefined where it may, or nobody has said. */
export function whyReadOnly(): string | undefined {
  return refusedRole.value === 'reader'
    ? 'Your role here is “reader”: you may look, and change nothing.'
    : undefined;
}

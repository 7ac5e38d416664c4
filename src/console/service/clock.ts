import { signal } from '@preact/signals';

/** Now, in ms, for what says how long ago something was: it moves on each second. */
export const now = signal(Date.now());

setInterval(() => {
  if (document.visibilityState === 'visible') {
    now.value = Date.now();
  }
}, 1000);

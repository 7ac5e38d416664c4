import { computed, signal } from '@preact/signals';

/** Where the reader is: what the address bar says. */
export interface Place {
  readonly path: string;
  readonly query: URLSearchParams;
}

function here(): Place {
  const { pathname, search } = window.location;
  return { path: pathname, query: new URLSearchParams(search) };
}

const place = signal(here());

/** Where the reader is. */
export const currentPlace = computed(() => place.value);

window.addEventListener('popstate', () => {
  place.value = here();
});

/** Goes to a page. @param how `replace` leaves no entry to come back to, for what is typed letter by letter. */
export function goTo(address: string, how: 'push' | 'replace' = 'push'): void {
  const before = place.value.path;
  if (how === 'push') {
    window.history.pushState(null, '', address);
  } else {
    window.history.replaceState(null, '', address);
  }
  place.value = here();
  if (how === 'push' && before !== place.value.path) {
    window.scrollTo(0, 0);
    isArriving = true;
  }
}

/** Whether the reader has come to another page, and its head is not there yet. */
let isArriving = false;

/** Whether the reader has just come to this page from another one; once, to whoever asks first. */
export function hasArrived(): boolean {
  const answer = isArriving;
  isArriving = false;
  return answer;
}

/** The address of the page with other words in its query; those that are empty are left out. */
export function withQuery(changes: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams(place.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === '') {
      query.delete(name);
    } else {
      query.set(name, value);
    }
  }
  const text = query.toString();
  return place.value.path + (text === '' ? '' : `?${text}`);
}

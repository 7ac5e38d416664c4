// Runs before the page is painted, so that it never changes its colours before the reader's eyes.

const key = 'darkroom-docs-theme';

type Theme = 'light' | 'dark';

function kept(): Theme | undefined {
  try {
    const value = localStorage.getItem(key);
    return value === 'light' || value === 'dark' ? value : undefined;
  } catch {
    // A browser that keeps nothing for this site.
    return undefined;
  }
}

function keep(theme: Theme): void {
  try {
    localStorage.setItem(key, theme);
  } catch {
    // It holds for this page then.
  }
}

function show(theme: Theme | undefined): void {
  if (theme !== undefined) {
    document.documentElement.dataset['theme'] = theme;
  }
}

function current(): Theme {
  const chosen = document.documentElement.dataset['theme'];
  if (chosen === 'light' || chosen === 'dark') {
    return chosen;
  }
  return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
}

show(kept());

document.addEventListener('DOMContentLoaded', () => {
  const button = document.querySelector<HTMLButtonElement>('button.theme');
  if (button === null) {
    return;
  }
  const label = (): void => {
    button.textContent = current() === 'dark' ? 'Light' : 'Dark';
    button.setAttribute('aria-label', `Use ${current() === 'dark' ? 'light' : 'dark'} colours`);
  };
  label();
  button.hidden = false;
  button.addEventListener('click', () => {
    const next = current() === 'dark' ? 'light' : 'dark';
    keep(next);
    show(next);
    label();
  });
});

// On a wide screen the list of pages is open; on a phone it is unfolded by who wants it.
document.addEventListener('DOMContentLoaded', () => {
  const wide = matchMedia('(min-width: 60rem)');
  const menu = document.querySelector<HTMLDetailsElement>('details.menu');
  const unfold = (): void => {
    if (menu !== null) {
      menu.open = wide.matches;
    }
  };
  unfold();
  wide.addEventListener('change', unfold);
});

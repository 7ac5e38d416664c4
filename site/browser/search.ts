import MiniSearch, { type SearchResult } from 'minisearch';
import { searchOptions, type Section } from '../search-options.ts';

/** So many are shown. */
const mostShown = 12;

const box = document.querySelector<HTMLElement>('.search');
const input = document.querySelector<HTMLInputElement>('#query');
const found = document.querySelector<HTMLElement>('#found');
const status = document.querySelector<HTMLElement>('.search [role=status]');

if (box !== null && input !== null && found !== null && status !== null) {
  listen(box, input, found, status);
}

function listen(
  box: HTMLElement,
  input: HTMLInputElement,
  found: HTMLElement,
  status: HTMLElement,
): void {
  let index: Promise<MiniSearch<Section>> | undefined;
  let selected = -1;

  const load = (): Promise<MiniSearch<Section>> => {
    index ??= read(box.dataset['index'] ?? '').catch((error: unknown) => {
      // Whoever types on asks for it again.
      index = undefined;
      throw error;
    });
    return index;
  };

  const close = (): void => {
    found.hidden = true;
    selected = -1;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  };

  const select = (step: number): void => {
    const options = [...found.querySelectorAll<HTMLElement>('[role=option]')];
    if (options.length === 0) {
      return;
    }
    selected = (selected + step + options.length) % options.length;
    options.forEach((option, at) => option.setAttribute('aria-selected', String(at === selected)));
    const option = options[selected];
    if (option !== undefined) {
      input.setAttribute('aria-activedescendant', option.id);
      option.scrollIntoView({ block: 'nearest' });
    }
  };

  const search = async (): Promise<void> => {
    const query = input.value.trim();
    if (query === '') {
      close();
      return;
    }
    let results: SearchResult[];
    try {
      results = (await load()).search(query).slice(0, mostShown);
    } catch {
      status.textContent = 'The search cannot be loaded just now.';
      return;
    }
    if (input.value.trim() !== query) {
      return;
    }
    found.replaceChildren(...results.map((result, at) => option(result, at, box.dataset['root'])));
    found.hidden = results.length === 0;
    input.setAttribute('aria-expanded', String(results.length > 0));
    selected = -1;
    status.textContent =
      results.length === 0 ? `Nothing is found for “${query}”.` : `${results.length} found.`;
    status.classList.toggle('unseen', results.length > 0);
  };

  input.addEventListener('focus', () => void load().catch(() => undefined));
  input.addEventListener('input', () => void search());
  input.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      select(event.key === 'ArrowDown' ? 1 : -1);
    } else if (event.key === 'Enter') {
      const options = found.querySelectorAll<HTMLAnchorElement>('[role=option]');
      options[Math.max(selected, 0)]?.click();
    } else if (event.key === 'Escape') {
      input.value = '';
      status.textContent = '';
      close();
    }
  });
  document.addEventListener('click', (event) => {
    if (event.target instanceof Node && !box.contains(event.target)) {
      close();
    }
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === '/' && !isTyping(event.target) && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      input.focus();
    }
  });
}

async function read(url: string): Promise<MiniSearch<Section>> {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`${url} was answered with ${response.status}`);
  }
  return MiniSearch.loadJSON(await response.text(), searchOptions);
}

/** One that was found, as a link. All text is set as text. */
function option(result: SearchResult, at: number, root = ''): HTMLElement {
  const link = document.createElement('a');
  link.id = `found-${at}`;
  link.href = root + String(result['url']);
  link.setAttribute('role', 'option');
  link.setAttribute('aria-selected', 'false');
  link.tabIndex = -1;
  const page = String(result['page']);
  const heading = String(result['heading']);
  link.append(
    part('strong', heading),
    part('span', heading === page ? '' : page),
    part('p', String(result['shown'])),
  );
  return link;
}

function part(name: string, text: string): HTMLElement {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || /^(?:INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

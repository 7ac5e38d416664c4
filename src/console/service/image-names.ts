import { signal } from '@preact/signals';
import { Image_State } from '../../../gen/darkroom/v1/image_pb.ts';
import { images } from './service.ts';
import { imageTitle } from '../words/image-words.ts';

/** As many as a list takes at once. */
const mostAtOnce = 128;
const states = [Image_State.QUEUED, Image_State.ACTIVE, Image_State.DELETED];

const names = new Map<string, string>();
const wanted = new Set<string>();
let isAsking = false;

/** Changes whenever names have come. */
const version = signal(0);

/** What an image is called; until that is known, by the end of its id. Asked for together with others. */
export function nameOfImage(id: string): string {
  void version.value;
  const name = names.get(id);
  if (name === undefined && id !== '') {
    wanted.add(id);
    askSoon();
  }
  return name ?? `Image ${id.slice(-6)}`;
}

/** Takes note of what is known from elsewhere. */
export function noteImageName(image: { readonly id: string; readonly name: string }): void {
  const title = imageTitle(image);
  if (names.get(image.id) !== title) {
    names.set(image.id, title);
    version.value += 1;
  }
}

function askSoon(): void {
  if (!isAsking) {
    isAsking = true;
    requestAnimationFrame(() => void ask());
  }
}

async function ask(): Promise<void> {
  const ids = [...wanted].slice(0, mostAtOnce);
  ids.forEach((id) => wanted.delete(id));
  try {
    await nameAll(ids, false);
    const left = ids.filter((id) => !names.has(id));
    if (left.length > 0) {
      await nameAll(left, true);
    }
    // Of one that cannot be seen any more there is no name, and no use in asking again.
    ids.filter((id) => !names.has(id)).forEach((id) => names.set(id, `Image ${id.slice(-6)}`));
    version.value += 1;
  } catch {
    // Asked again by whoever shows them next.
  }
  isAsking = false;
  if (wanted.size > 0) {
    askSoon();
  }
}

async function nameAll(ids: readonly string[], hidden: boolean): Promise<void> {
  const answer = await images.listImages({
    filter: { ids: [...ids], states, hidden },
    pageSize: mostAtOnce,
  });
  for (const image of answer.images) {
    names.set(image.id, imageTitle(image));
  }
}

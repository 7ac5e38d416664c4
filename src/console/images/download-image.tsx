import { useState } from 'preact/hooks';
import { Image_State, type Image } from '../../../gen/darkroom/v1/image_pb.ts';
import { Button } from '../parts/button.tsx';
import { tell } from '../parts/toasts.tsx';
import { token } from '../service/session.ts';
import { diskFormats, imageTitle } from '../words/image-words.ts';

/** Gives an image’s bytes to the browser, which keeps them as a file. */
export function DownloadButton({ image }: { readonly image: Image }) {
  const [isFetching, setFetching] = useState(false);
  const whyNot =
    image.state !== Image_State.ACTIVE
      ? 'Its bytes are not there.'
      : isFetching
        ? 'It is being downloaded.'
        : undefined;
  const address = `/v2/images/${image.id}/file`;
  const name = fileName(image);
  if (whyNot === undefined && token() === undefined) {
    return (
      <a class="button button-plain" href={address} download={name}>
        Download
      </a>
    );
  }
  const fetchIt = async (): Promise<void> => {
    setFetching(true);
    try {
      await save(address, name);
    } catch {
      tell(`${imageTitle(image)} could not be downloaded. Try again.`, undefined, true);
    }
    setFetching(false);
  };
  return (
    <Button whyNot={whyNot} onClick={() => void fetchIt()}>
      {isFetching ? 'Downloading…' : 'Download'}
    </Button>
  );
}

/** A link cannot bring a token along: so the page fetches it, and the browser keeps it on its disk until it has a name. */
async function save(address: string, name: string): Promise<void> {
  const response = await fetch(address, { headers: { authorization: `Bearer ${token() ?? ''}` } });
  if (!response.ok) {
    throw new Error(`answered with ${response.status}`);
  }
  const url = URL.createObjectURL(await response.blob());
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  // The browser has taken hold of it by then.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

function fileName(image: Image): string {
  const ending = diskFormats.get(image.diskFormat);
  const name = imageTitle(image).replaceAll(/[\\/:*?"<>|]/g, '_');
  return ending === undefined || name.toLowerCase().endsWith(`.${ending}`)
    ? name
    : `${name}.${ending}`;
}

import { posix } from 'node:path';
import { homeSource } from './contents.ts';

/** Where on the site the generated page of a file of the contract lies, such as `proto/darkroom/v1/fault.proto`. */
export function contractPage(proto: string): string {
  const name = posix.basename(proto, '.proto').replaceAll('_', '-');
  return `reference/${name}.html`;
}

/** Files of the repository in whose place the site has a generated page. */
const generated: Readonly<Record<string, string>> = {
  'proto/darkroom/v1': 'reference/index.html',
  'src/cli': 'reference/commands.html',
  'src/domain/failure-reason.ts': 'reference/reasons.html',
};

/** Where on the site what a file or folder of the repository says is read; undefined if nowhere. */
export function placeOf(source: string): string | undefined {
  const known = generated[source];
  if (known !== undefined) {
    return known;
  }
  if (source === homeSource) {
    return 'index.html';
  }
  if (/^proto\/darkroom\/v1\/\w+\.proto$/.test(source)) {
    return contractPage(source);
  }
  if (source.endsWith('.md')) {
    return source.startsWith('docs/')
      ? source
          .slice('docs/'.length)
          .replace(/\bREADME\.md$/, 'index.md')
          .replace(/md$/, 'html')
      : source.toLowerCase().replace(/md$/, 'html');
  }
  return source.startsWith('docs/images/') ? source.slice('docs/'.length) : undefined;
}

/**
 * What a link of a page of the repository says on the site: the same for addresses and anchors, a relative one for what the
 * site has, undefined for what only the repository has.
 *
 * @param source the page that links, such as `docs/imports.md`.
 */
export function linkOnSite(source: string, target: string): string | undefined {
  if (/^[a-z]+:/.test(target) || target.startsWith('#')) {
    return target;
  }
  const [path = '', anchor] = target.split('#');
  const file = posix.join(posix.dirname(source), path).replace(/\/$/, '');
  const place = placeOf(file);
  const from = placeOf(source);
  if (place === undefined || from === undefined) {
    return undefined;
  }
  return relativeLink(from, place) + (anchor === undefined ? '' : `#${anchor}`);
}

/** From one page of the site to another, so that the site may stand below any path, and on a disk. */
export function relativeLink(from: string, to: string): string {
  return posix.relative(posix.dirname(from), to);
}

import { failureReasons } from '../../src/domain/failure-reason.ts';
import { escapeHtml } from '../html.ts';

/** Where names in comments lead; undefined where one is no name of the contract. */
export type LinkOf = (name: string) => string | undefined;

/**
 * A comment of the contract as HTML: paragraphs, and what is indented as it stands. Names of the contract and reasons become
 * links.
 */
export function commentHtml(comment: string, linkOf: LinkOf): string {
  return comment
    .split(/\n\s*\n/)
    .filter((paragraph) => paragraph.trim() !== '')
    .map((paragraph) => {
      const lines = paragraph.split('\n');
      if (lines.every((line) => /^ {2}/.test(line))) {
        return `<pre tabindex="0" role="group" aria-label="Table"><code>${withLinks(paragraph, linkOf)}</code></pre>`;
      }
      const errors = /^(Errors[^:]*:) (.*)$/s.exec(paragraph);
      return errors === null
        ? `<p>${withLinks(paragraph, linkOf)}</p>`
        : `<p>${escapeHtml(errors[1] ?? '')}</p>\n<ul>${errorItems(errors[2] ?? '', linkOf)}</ul>`;
    })
    .join('\n');
}

/** An item for each error of `CODE/REASON (when), CODE/REASON; …`. */
function errorItems(errors: string, linkOf: LinkOf): string {
  return errors
    .replaceAll(/\s+/g, ' ')
    .replace(/\.$/, '')
    .split(/[,;] (?=(?:for copy_from )?[A-Z_]+\/[A-Z_]+)/)
    .map((error) => `<li>${withLinks(error, linkOf)}</li>`)
    .join('\n');
}

/** Its first sentence, as text. */
export function firstSentence(comment: string): string {
  const [paragraph = ''] = comment.split(/\n\s*\n/);
  const text = paragraph.replaceAll(/\s+/g, ' ').trim();
  return /^.*?[.:](?= |$)/.exec(text)?.[0].replace(/:$/, '.') ?? text;
}

/** Where the reference tells of a reason, on the page of the reasons. */
export function reasonAnchor(reason: string): string {
  return reason.toLowerCase().replaceAll('_', '-');
}

/** Words that may be names: of methods, messages and enums with what they hold, and reasons. */
const names = /\b[A-Z]\w*(?:\.\w+)*\b/g;

function withLinks(text: string, linkOf: LinkOf): string {
  return escapeHtml(text).replaceAll(names, (name) => {
    const href =
      Object.hasOwn(failureReasons, name) && name.includes('_')
        ? `reasons.html#${reasonAnchor(name)}`
        : linkOf(name);
    return href === undefined ? name : `<a href="${href}">${name}</a>`;
  });
}

import { Code } from '../../gen/google/rpc/code_pb.ts';
import { failureReasons } from '../../src/domain/failure-reason.ts';
import { callRemedy, faultRemedy } from '../../src/cli/words/remedies.ts';
import { escapeHtml } from '../html.ts';
import type { Heading, Page } from '../page.ts';
import { commentHtml, reasonAnchor } from './comment-html.ts';
import { anchorOf, besides, linksOf } from './contract-names.ts';
import type { Contract, Described } from './contract.ts';
import { mentionsOf, type Mention } from './reason-meanings.ts';

/** The page of all reasons: the code that each goes with, whether the same may succeed later, what it means, who tells it. */
export function reasonPage(contract: Contract): Page {
  const mentions = mentionsOf(contract);
  const reasons = Object.entries(failureReasons).toSorted(([a], [b]) => a.localeCompare(b));
  const headings = reasons.map(([reason]): Heading => ({
    level: 2,
    text: reason,
    slug: reasonAnchor(reason),
  }));
  const sections = reasons.map(([reason, { code, retryable }]) => {
    const slug = reasonAnchor(reason);
    const again = retryable
      ? 'the same may succeed when it is tried again'
      : 'trying the same again does not help';
    return [
      `<h2 id="${slug}"><code>${reason}</code> <a class="anchor" href="#${slug}" aria-label="Link to ${reason}">#</a></h2>`,
      `<p class="facts"><code>${codeName(code)}</code> · ${again}</p>`,
      ...meaningsOf(contract, mentions.get(reason) ?? []),
      ...remediesOf(reason),
    ].join('\n');
  });
  return {
    path: 'reference/reasons.html',
    title: 'Reasons',
    headings,
    html:
      '<h1>Reasons</h1>\n' +
      '<p>Every failed call and every fault has a reason: a word that never changes its meaning, for programs to decide by. ' +
      'Errors carry it as <code>google.rpc.ErrorInfo</code>, with the domain <code>darkroom</code>. Producers that report ' +
      'a fault give reasons of their own. How a fault is read is told in ' +
      '<a href="../how-to/act-on-a-fault.html">Read a fault and act</a>.</p>\n' +
      sections.join('\n'),
  };
}

function codeName(code: Code): string {
  return Object.entries(Code).find(([, number]) => number === code)?.[0] ?? String(code);
}

/** What to do, as the command line tells people, of a fault and of a call that failed. */
function remediesOf(reason: string): string[] {
  return [...new Set([faultRemedy(reason), callRemedy(reason)])]
    .filter((remedy) => remedy !== undefined)
    .map((remedy) => `<p><strong>What to do:</strong> ${escapeHtml(remedy)}</p>`);
}

/** Each meaning once, with those who give it. */
function meaningsOf(contract: Contract, mentions: readonly Mention[]): string[] {
  const linkOf = linksOf(contract);
  const tellers = new Map<string, string[]>();
  for (const { of, meaning } of mentions) {
    tellers.set(meaning, [...new Set([...(tellers.get(meaning) ?? []), tellerOf(of)])]);
  }
  return [...tellers]
    .toSorted(([a], [b]) => Number(a === '') - Number(b === ''))
    .map(([meaning, by]) => {
      if (meaning === '') {
        return `<p class="facts">${tellers.size > 1 ? 'Also told' : 'Told'} by: ${by.join(', ')}</p>`;
      }
      return `${commentHtml(sentenceOf(meaning), linkOf)}<p class="facts">Told by: ${by.join(', ')}</p>`;
    });
}

function sentenceOf(meaning: string): string {
  const text = meaning.replaceAll(/\s+/g, ' ').trim();
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}

function tellerOf(of: Described): string {
  switch (of.kind) {
    case 'rpc':
      return `<a href="${besides(of.parent.file)}#${anchorOf(of.name)}">${of.name}</a>`;
    case 'service':
      return `<a href="${besides(of.file)}">every call</a>`;
    default:
      return 'faults of tasks';
  }
}

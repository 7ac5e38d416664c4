import type { Contract, Described } from './contract.ts';

/** What the contract says of a reason in one place. */
export interface Mention {
  /** Whose comment it is: a method, a service, or the message Fault. */
  readonly of: Described;
  /** What it means there; empty where it is only named. */
  readonly meaning: string;
}

/** What the contract says of each reason, in the order in which it does. */
export function mentionsOf(contract: Contract): ReadonlyMap<string, readonly Mention[]> {
  const mentions = new Map<string, Mention[]>();
  for (const file of contract.files) {
    const described: readonly Described[] = [
      ...file.services.flatMap((service) => [service, ...service.methods]),
      ...file.messages.filter(({ name }) => name === 'Fault'),
    ];
    for (const of of described) {
      const comment = contract.comment(of);
      for (const [reason, meaning] of [...rowsOf(comment), ...namesOf(comment)]) {
        const ofReason = mentions.get(reason) ?? [];
        mentions.set(reason, [...ofReason, { of, meaning }]);
      }
    }
  }
  return mentions;
}

/** Of what is written as a table: `REASON  CODE  meaning` or `CODE/REASON  meaning`, over one line or more. */
function rowsOf(comment: string): [reason: string, meaning: string][] {
  const rows: [string, string][] = [];
  for (const line of comment.split('\n')) {
    const row =
      /^ {2,4}([A-Z][A-Z_]+) {2,}[A-Z_]+ {2,}(\S.*)$/.exec(line) ??
      /^ {2,4}[A-Z_]+\/([A-Z_]+)(?: {2,}(\S.*))?$/.exec(line);
    const last = rows.at(-1);
    if (row !== null) {
      rows.push([row[1] ?? '', row[2] ?? '']);
    } else if (/^ {10,}\S/.test(line) && last !== undefined) {
      last[1] = `${last[1]} ${line.trim()}`.trim();
    }
  }
  return rows;
}

/** Of what is named in a sentence: `CODE/REASON`, or `CODE/REASON (meaning)`. */
function namesOf(comment: string): [reason: string, meaning: string][] {
  const prose = comment
    .split('\n')
    .filter((line) => !/^ {2}/.test(line))
    .join(' ');
  return [...prose.matchAll(/\b[A-Z_]+\/([A-Z_]+)\b(?: \(([^()]*(?:\([^()]*\)[^()]*)*)\))?/g)].map(
    ([, reason = '', meaning = '']) => [reason, meaning],
  );
}

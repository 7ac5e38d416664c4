import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { stateDiagram } from '../../../src/tasks/ledger/state-diagram.ts';
import { transitionRules } from '../../../src/tasks/ledger/state-machine.ts';

test('docs/task-states.md shows the state machine as it is', async () => {
  const page = await readFile(new URL('../../../docs/task-states.md', import.meta.url), 'utf8');
  const drawn = /```mermaid\n(.*?)```/s.exec(page)?.[1];
  expect(drawn, 'replace the block in docs/task-states.md by what is received here').toBe(
    stateDiagram(),
  );
  const rows = page
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    );
  expect(rows.slice(2)).toEqual(
    transitionRules.map(({ transition, from, to, guard, effects }) => [
      transition,
      from.join(', '),
      to ?? 'the same',
      guard,
      effects,
    ]),
  );
});

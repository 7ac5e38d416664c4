import { isTerminal, transitionRules } from './state-machine.ts';
import { taskStates, type TaskState } from '../../records/task.ts';

/**
 * Draws the state machine as a Mermaid stateDiagram-v2, from the same table that the ledger runs. An
 * arrow stands for all transitions between its two states, with their guards; those that leave the
 * state as it is go back to it.
 */
export function stateDiagram(): string {
  const arrows = new Map<string, string[]>();
  for (const { transition, from, to, guard } of transitionRules) {
    for (const state of from) {
      const arrow = `${state} --> ${to ?? state}`;
      const label = guard === '' || to === null ? transition : `${transition} [${guard}]`;
      arrows.set(arrow, [...(arrows.get(arrow) ?? []), label]);
    }
  }
  const first: TaskState = 'PENDING';
  return [
    'stateDiagram-v2',
    `    [*] --> ${first}`,
    // A colon or semicolon would end the label.
    ...[...arrows].map(
      ([arrow, labels]) => `    ${arrow}: ${labels.join('<br>').replaceAll(/[:;]/g, ',')}`,
    ),
    ...taskStates.filter(isTerminal).map((state) => `    ${state} --> [*]`),
    '',
  ].join('\n');
}

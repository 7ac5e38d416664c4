import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Measurements } from '../measurements.ts';
import { chartOf } from './chart.ts';

/**
 * Writes what was measured into a folder, by the benchmark's name: every round as JSON, the table as text, and a chart
 * as SVG.
 *
 * @param machine on what, and when.
 */
export async function writeReport(
  folder: string,
  measurements: Measurements,
  machine: string,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { title, cases } = measurements.report();
  const write = (ending: string, text: string): Promise<void> =>
    writeFile(join(folder, `${title}.${ending}`), text);
  await write('json', `${JSON.stringify({ title, machine, cases }, undefined, 2)}\n`);
  await write('txt', `${machine}\n\n${String(measurements)}\n`);
  await write('svg', chartOf(`${title} · ${machine.split(' · ').slice(0, 2).join(' · ')}`, cases));
}

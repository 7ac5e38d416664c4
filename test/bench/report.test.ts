import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SaxesParser } from 'saxes';
import { expect, onTestFinished, test } from 'vitest';
import { readCommandLine, UsageError } from '../../bench/command-line.ts';
import { baseline, Measurements } from '../../bench/measurements.ts';
import { chartOf } from '../../bench/report/chart.ts';
import { belowFloor } from '../../bench/report/floors.ts';
import { writeReport } from '../../bench/report/write-report.ts';

const rate = { name: 'MiB/s', digits: 0 };

/** Two rounds of a case, with the given rates. */
function measured(name: string, own: readonly number[], base: readonly number[]): Measurements {
  const measurements = new Measurements('upload');
  own.forEach((value) => measurements.add(name, 'Darkroom', rate, value));
  base.forEach((value) => measurements.add(name, baseline, rate, value));
  return measurements;
}

test('a ratio is that of each round, and the median of these', () => {
  const { cases } = measured('one stream', [100, 50, 900], [100, 100, 100]).report();
  expect(cases[0]?.metrics).toEqual([
    { metric: 'MiB/s', subject: 'Darkroom', values: [100, 50, 900], median: 100, ratio: 1 },
    { metric: 'MiB/s', subject: baseline, values: [100, 100, 100], median: 100, ratio: undefined },
  ]);
});

test('what is slower than its floor is told, and nothing else', () => {
  const floors = [{ name: 'one stream', metric: 'MiB/s', least: 0.5 }];
  expect(belowFloor(measured('one stream of 1 MiB', [49], [100]), floors)).toEqual([
    'one stream of 1 MiB: Darkroom has 0.490 times the MiB/s of the baseline, and 0.5 is the least',
  ]);
  expect(belowFloor(measured('one stream of 1 MiB', [50], [100]), floors)).toEqual([]);
  expect(belowFloor(measured('two streams', [1], [100]), floors)).toEqual([]);
  expect(belowFloor(measured('one stream', [1], []), floors)).toEqual([]);
});

test('a report is every round as JSON, the table, and a chart that is well-formed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-report-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const measurements = measured('chunks of <1 MiB> & "more"', [100, 50], [100, 100]);
  await writeReport(folder, measurements, 'today · 2 cores');
  const read = (ending: string): Promise<string> =>
    readFile(join(folder, `upload.${ending}`), 'utf8');
  expect(JSON.parse(await read('json'))).toMatchObject({
    machine: 'today · 2 cores',
    cases: [{ metrics: [{ subject: 'Darkroom', values: [100, 50] }, { subject: baseline }] }],
  });
  expect(await read('txt')).toContain(String(measurements));
  const texts: string[] = [];
  const parser = new SaxesParser();
  parser.on('text', (text) => texts.push(text));
  parser.write(await read('svg')).close();
  expect(texts).toEqual(
    expect.arrayContaining(['chunks of <1 MiB> & "more" — MiB/s', 'Darkroom', '75', '100']),
  );
  expect(chartOf('nothing', [])).toContain('</svg>');
});

test('a chart has the metrics that are to be drawn, each on its own scale, or the first', () => {
  const measurements = new Measurements('rest');
  const add = (name: string, metric: string, isDrawn: boolean, value: number): void =>
    measurements.add(name, 'Darkroom', { name: metric, digits: 0, isDrawn }, value);
  add('chosen', 'seconds', false, 7);
  add('chosen', 'MiB', true, 1000);
  add('chosen', 'ms', true, 0);
  add('not chosen', 'calls', false, 3);
  add('not chosen', 'more', false, 4);
  const chart = chartOf('rest', measurements.report().cases);
  const drawn = [...chart.matchAll(/class="case">([^<]*)</g)].map(([, name]) => name);
  expect(drawn).toEqual(['chosen — MiB', 'chosen — ms', 'not chosen — calls']);
  expect(chart).not.toContain('NaN');
});

test('a quick run is short, and can be made longer', () => {
  const { benches, options } = readCommandLine(['--quick', '--seconds', '7']);
  expect(benches).toEqual(['upload', 'small']);
  expect(options).toMatchObject({ runs: 3, mib: 256, seconds: 7, isQuick: true });
  expect(options.wants('GetImage, 16 callers')).toBe(true);
  expect(options.wants('GetImage, 1 caller')).toBe(false);
  expect(readCommandLine(['upload']).options).toMatchObject({ runs: 5, mib: 1024 });
});

test('a Glance is told by its URL and its pid', () => {
  const { options } = readCommandLine(['peers', '--glance', 'http://127.0.0.1:9292,4711']);
  expect(options.glance).toEqual({ url: 'http://127.0.0.1:9292', pid: 4711 });
  expect(() => readCommandLine(['peers', '--glance', '9292'])).toThrow(UsageError);
});

test('what resume and tus need can be told', () => {
  const { benches, options } = readCommandLine([
    'peers',
    'resume',
    '--resume-mib',
    '64',
    '--tus',
    '.',
  ]);
  expect(benches).toEqual(['peers', 'resume']);
  expect(options).toMatchObject({ resumeMib: 64, tus: process.cwd(), glance: undefined });
  expect(readCommandLine(['resume']).options).toMatchObject({ resumeMib: 4096, tus: undefined });
});

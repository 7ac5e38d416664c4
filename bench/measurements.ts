/** What is measured, and how it is told. */
export interface Metric {
  readonly name: string;
  /** Digits after the decimal point. */
  readonly digits: number;
  /** Whether it is drawn; where none of a case is said to be, its first one is. */
  readonly isDrawn?: boolean;
}

/** The name under which a case's baseline is measured: all others are compared with it. */
export const baseline = 'baseline';

interface Series {
  readonly metric: Metric;
  readonly subject: string;
  /** One of each round, in the order of the rounds. */
  readonly values: number[];
}

/** One metric of one subject in a case, as others read it. */
export interface ReportedMetric {
  readonly metric: string;
  readonly subject: string;
  /** One of each round, in the order of the rounds. */
  readonly values: readonly number[];
  readonly median: number;
  /** The median of the rounds' ratios to the baseline; undefined where there is none. */
  readonly ratio: number | undefined;
  /** Whether it is in the chart. */
  readonly isDrawn?: boolean | undefined;
}

/** One case, as others read it. */
export interface ReportedCase {
  readonly name: string;
  readonly metrics: readonly ReportedMetric[];
}

/** What was measured in the rounds of one benchmark, by case, metric and subject. */
export class Measurements {
  readonly #title: string;
  readonly #cases = new Map<string, Map<string, Series>>();

  constructor(title: string) {
    this.#title = title;
  }

  /** Adds the value of one round. A round that measures a subject also measures its baseline, if there is one. */
  add(name: string, subject: string, metric: Metric, value: number): void {
    const series = this.#cases.get(name) ?? new Map<string, Series>();
    this.#cases.set(name, series);
    const key = `${metric.name}\n${subject}`;
    const one = series.get(key) ?? { metric, subject, values: [] };
    series.set(key, one);
    one.values.push(value);
  }

  /** All of it, metric by metric. */
  report(): { readonly title: string; readonly cases: readonly ReportedCase[] } {
    const cases = [...this.#cases].map(([name, series]) => ({
      name,
      metrics: [...Map.groupBy(series.values(), ({ metric }) => metric.name)].flatMap(
        ([metric, lines]) => {
          const base = lines.find(({ subject }) => subject === baseline);
          return lines.map((line) => ({
            metric,
            isDrawn: line.metric.isDrawn,
            subject: line.subject,
            values: line.values,
            median: median(line.values),
            ratio: base && line !== base ? medianRatio(line.values, base.values) : undefined,
          }));
        },
      ),
    }));
    return { title: this.#title, cases };
  }

  /** A table with one line a series. The ratio is the median of the rounds' ratios. */
  toString(): string {
    const rows: string[][] = [[this.#title, '', 'min', 'median', 'max', `× ${baseline}`]];
    for (const { name, metrics } of this.report().cases) {
      rows.push([name]);
      metrics.forEach(({ metric, subject, values, median: middle, ratio }, index) => {
        const digits = this.#cases.get(name)?.get(`${metric}\n${subject}`)?.metric.digits ?? 0;
        rows.push([
          metric === metrics[index - 1]?.metric ? '' : `  ${metric}`,
          subject,
          ...[Math.min(...values), middle, Math.max(...values)].map((value) =>
            format(value, digits),
          ),
          ratio === undefined ? '' : format(ratio, 2),
        ]);
      });
    }
    return aligned(rows);
  }
}

/** The middle one of some values; of an even number, the mean of the middle two. */
export function median(values: readonly number[]): number {
  return (quantile(values, 0.5, Math.floor) + quantile(values, 0.5, Math.ceil)) / 2;
}

/** The value below which a share of the values lies: 0.99 for the p99. */
export function percentile(values: readonly number[], share: number): number {
  return quantile(values, share, Math.ceil);
}

function quantile(
  values: readonly number[],
  share: number,
  round: (index: number) => number,
): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[round((sorted.length - 1) * share)] ?? Number.NaN;
}

function medianRatio(values: readonly number[], bases: readonly number[]): number {
  return median(values.map((value, i) => value / (bases[i] ?? Number.NaN)));
}

function format(value: number, digits: number): string {
  return value.toLocaleString('en', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}

/** The first two columns to the left, numbers to the right. */
function aligned(rows: readonly string[][]): string {
  // Lines with a name only may be as long as they like.
  const widths = [0, 1, 2, 3, 4, 5].map((column) =>
    Math.max(...rows.filter((row) => row.length > 1).map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

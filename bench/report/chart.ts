import type { ReportedCase, ReportedMetric } from '../measurements.ts';

const width = 760;
const labelWidth = 150;
const valueWidth = 130;
const barHeight = 18;
const barGap = 4;
const caseGap = 26;
const margin = 16;

/** Told apart without colour by their order and their names, which stand beside them. */
const colours = ['#2f6f9f', '#b0b7bd', '#c2783a', '#6d8f3c', '#8a5a9e'];

/**
 * A chart of each case, as SVG: of those of its metrics that are to be drawn, or its first, a bar for the median of each subject, and
 * a line from the least to the greatest of its rounds.
 */
export function chartOf(title: string, cases: readonly ReportedCase[]): string {
  const parts: string[] = [];
  let y = margin + 36;
  for (const { name, lines } of cases.flatMap(drawnOf)) {
    const [first] = lines;
    const most = Math.max(...lines.map(({ values }) => Math.max(...values)));
    const barWidth = width - labelWidth - valueWidth - 2 * margin;
    // Where all is nothing there is no bar.
    const scale = (value: number): number => (most > 0 ? (value / most) * barWidth : 0);
    parts.push(text(margin, y, `${name} — ${first?.metric ?? ''}`, 'case'));
    y += 8;
    lines.forEach(({ subject, median, values }, index) => {
      const x = margin + labelWidth;
      const middle = y + barHeight / 2;
      const [least, greatest] = [scale(Math.min(...values)), scale(Math.max(...values))];
      parts.push(
        text(margin, middle + 4, subject, 'subject'),
        `<rect x="${x}" y="${y}" width="${scale(median).toFixed(1)}" height="${barHeight}" fill="${colours[index % colours.length] ?? ''}"/>`,
        `<line x1="${(x + least).toFixed(1)}" x2="${(x + greatest).toFixed(1)}" y1="${middle}" y2="${middle}" stroke="#222"/>`,
        text(x + Math.max(scale(median), greatest) + 8, middle + 4, number(median), 'value'),
      );
      y += barHeight + barGap;
    });
    y += caseGap;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" role="img" aria-label="${escaped(title)}">`,
    '<style>text{font:13px sans-serif;fill:#222}.title{font-weight:bold;font-size:15px}.case{font-weight:bold}</style>',
    `<rect width="${width}" height="${y}" fill="#fff"/>`,
    text(margin, margin + 4, title, 'title'),
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

/** Each metric that is drawn, with its subjects. */
function drawnOf({
  name,
  metrics,
}: ReportedCase): { readonly name: string; readonly lines: readonly ReportedMetric[] }[] {
  const chosen = metrics.filter(({ isDrawn }) => isDrawn);
  const drawn = chosen.length > 0 ? chosen : metrics.slice(0, 1);
  return [...new Set(drawn.map(({ metric }) => metric))].map((wanted) => ({
    name,
    lines: metrics.filter(({ metric }) => metric === wanted),
  }));
}

function text(x: number, y: number, words: string, kind: string): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" class="${kind}">${escaped(words)}</text>`;
}

function number(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3 });
}

function escaped(words: string): string {
  return words.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
}

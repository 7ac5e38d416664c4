import stringWidth from 'string-width';
import { bytesText, durationText, percentText } from './amounts.ts';
import type { Screen } from './screen.ts';
import { cutTo } from './table.ts';

/** How far a transfer is. */
export interface Transfer {
  /** What is done now, such as `sending`. */
  readonly step: string;
  readonly doneBytes: number;
  readonly sizeBytes: number | undefined;
  readonly bytesPerSecond: number;
  /** Zeros that did not travel. */
  readonly holeBytes: number;
  /** While it waits: why, and for how long yet, in ms. */
  readonly waiting?: { readonly why: string; readonly leftMs: number } | undefined;
}

const widest = 24;

/** A transfer in two lines that fit the terminal: a bar with rate and time left, and why it waits where it does. */
export function transferLines(name: string, transfer: Transfer, screen: Screen): string[] {
  const { style, columns } = screen;
  const { step, doneBytes, sizeBytes, bytesPerSecond, holeBytes, waiting } = transfer;
  const facts = [
    sizeBytes === undefined
      ? bytesText(doneBytes)
      : `${bytesText(doneBytes)} of ${bytesText(sizeBytes)}`,
    ...(step === 'sending' || step === 'receiving' || step === 'fetching'
      ? [`${bytesText(bytesPerSecond)}/s`, ...leftOf(transfer)]
      : [step]),
    ...(holeBytes > 0 ? [`${bytesText(holeBytes)} of holes skipped`] : []),
  ].join(', ');
  const percent = sizeBytes === undefined ? '' : percentText(doneBytes, sizeBytes).padStart(6);
  // One column is left free: some terminals wrap a line that is just full.
  const room = columns - 1;
  const label = cutTo(name, Math.max(8, Math.floor(room / 4)));
  // By the terminal alone, so that the bar does not change its length with what stands beside it.
  const width = Math.min(widest, Math.floor(room / 5));
  const isDrawn = sizeBytes !== undefined && width >= 8;
  const bar = isDrawn ? ` ${barOf(doneBytes, sizeBytes, width, screen)}` : '';
  const taken = stringWidth(label) + (isDrawn ? width + 1 : 0) + percent.length + 2;
  const lines = [
    `${style.bold(label)}${bar}${percent}  ${cutTo(facts, Math.max(1, room - taken))}`,
  ];
  if (waiting !== undefined) {
    const when = waiting.leftMs > 500 ? `again in ${durationText(waiting.leftMs)}` : 'trying again';
    lines.push(style.warn(cutTo(`${waiting.why}; ${when}`, room)));
  }
  return lines;
}

function leftOf({ sizeBytes, doneBytes, bytesPerSecond }: Transfer): string[] {
  if (sizeBytes === undefined || bytesPerSecond <= 0 || doneBytes >= sizeBytes) {
    return [];
  }
  return [`${durationText(((sizeBytes - doneBytes) / bytesPerSecond) * 1000)} left`];
}

function barOf(done: number, size: number, width: number, { style }: Screen): string {
  const filled = size === 0 ? width : Math.min(width, Math.floor((done / size) * width));
  return `${style.good('━'.repeat(filled))}${style.dim('─'.repeat(width - filled))}`;
}

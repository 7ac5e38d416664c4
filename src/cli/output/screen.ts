import type { Environment } from '../environment.ts';

/** Something that is written to: a terminal, a pipe, a file. */
export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  /** Of a terminal, in characters. */
  readonly columns?: number;
  readonly rows?: number;
}

/** What text may look like; as it is where there are no colours. */
export interface Style {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly good: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly warn: (text: string) => string;
  readonly accent: (text: string) => string;
}

/** A sink together with what it can show. */
export interface Screen {
  readonly style: Style;
  /** Whether a person looks at it who can be shown what moves. */
  readonly isTerminal: boolean;
  /** In characters; Infinity where nothing has to fit. */
  readonly columns: number;
  readonly rows: number;
  readonly sink: Sink;
  readonly write: (text: string) => void;
  /** Text and a line's end. */
  readonly line: (text?: string) => void;
}

/** Looks at a sink as it is just now: terminals change their size. */
export function screenOn(sink: Sink, environment: Environment): Screen {
  const isTerminal = sink.isTTY === true && environment['TERM'] !== 'dumb';
  const write = (text: string): void => void sink.write(text);
  return {
    sink,
    isTerminal,
    get columns() {
      return sink.isTTY === true ? (sink.columns ?? 80) : Infinity;
    },
    get rows() {
      return sink.isTTY === true ? (sink.rows ?? 24) : Infinity;
    },
    style: hasColours(isTerminal, environment) ? coloured : plain,
    write,
    line: (text = '') => write(`${text}\n`),
  };
}

/**
 * Whether text is coloured: on a terminal, unless NO_COLOR is set to something (no-color.org); elsewhere where FORCE_COLOR
 * is, and is neither 0 nor false. Who sets both gets none.
 */
function hasColours(isTerminal: boolean, environment: Environment): boolean {
  const { NO_COLOR: no = '', FORCE_COLOR: force } = environment;
  if (no !== '') {
    return false;
  }
  return force === undefined ? isTerminal : force !== '0' && force !== 'false';
}

// Written out: util.styleText came with Node 20.12 only.
const styled =
  (on: number, off: number) =>
  (text: string): string =>
    `\u001B[${on}m${text}\u001B[${off}m`;

const coloured: Style = {
  bold: styled(1, 22),
  dim: styled(2, 22),
  good: styled(32, 39),
  bad: styled(31, 39),
  warn: styled(33, 39),
  accent: styled(36, 39),
};

const same = (text: string): string => text;
const plain: Style = { bold: same, dim: same, good: same, bad: same, warn: same, accent: same };

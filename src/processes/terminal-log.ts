/** A line of the log, as pino writes it. */
type LogLine = Readonly<Record<string, unknown>>;

const names: Readonly<Record<number, string>> = { 40: 'warning', 50: 'error', 60: 'fatal' };
const colours: Readonly<Record<number, string>> = { 40: '33', 50: '31', 60: '31' };

/** What stands at the beginning of a line anyway, or says nothing to people. */
const unsaid = new Set(['level', 'time', 'msg', 'err', 'process', 'requestId', 'pid']);

/**
 * A line of the log for somebody who sits before it: when, what, and what belongs to it.
 *
 * @param json the line as it would go into a file
 * @param hasColours whether warnings and errors are coloured
 */
export function terminalLine(json: string, hasColours: boolean): string {
  let line: LogLine;
  try {
    line = JSON.parse(json) as LogLine;
  } catch {
    return json;
  }
  const level = Number(line['level']);
  const date = new Date(Number(line['time']));
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => String(part).padStart(2, '0'))
    .join(':');
  const colour = hasColours ? colours[level] : undefined;
  const name = names[level];
  const said = `${name === undefined ? '' : `${name}: `}${messageOf(line)}`;
  const shown = colour === undefined ? said : `\u001B[${colour}m${said}\u001B[39m`;
  return `${clock}  ${shown}${factsOf(line)}\n`;
}

/** A call is told by its method, and anything else by its message. */
function messageOf({ msg, method, path }: LogLine): string {
  if (msg !== 'call') {
    return String(msg);
  }
  const what = typeof method === 'string' ? method.split('/').at(-1) : path;
  return typeof what === 'string' ? what : msg;
}

function factsOf(line: LogLine): string {
  const isCall = line['msg'] === 'call';
  const facts = Object.entries(line)
    .filter(([key]) => !unsaid.has(key) && !(isCall && (key === 'method' || key === 'path')))
    .map(([key, value]) => factOf(key, value));
  return facts.length === 0 ? '' : `  ${facts.join(' ')}`;
}

function factOf(key: string, value: unknown): string {
  if (key === 'durationMs') {
    return `${Math.round(Number(value))} ms`;
  }
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return key === 'code' ? text : `${key}=${text}`;
}

/** What is told when the service is ready, to somebody who has just started it. */
export function readyText(ready: {
  readonly url: string;
  readonly dataDir: string;
  readonly database: 'embedded' | 'external';
  readonly processes: number;
  /** Whether callers have to show who they are. */
  readonly isOpen: boolean;
  /** Where the command line calls by itself. */
  readonly isUsualPlace: boolean;
}): string {
  const { url, dataDir, database, processes, isOpen, isUsualPlace } = ready;
  const endpoint = isUsualPlace ? '' : ` --endpoint ${url}`;
  const rows = [
    ['address', url],
    [
      'data',
      `${dataDir}, ${database === 'embedded' ? 'with a PostgreSQL of its own' : 'and the PostgreSQL of DATABASE_URL'}`,
    ],
    ...(processes > 1 ? [['processes', String(processes)]] : []),
    ...(isOpen ? [] : [['callers', 'need a token: npx darkroom token create --help']]),
    ['try', `npx darkroom upload disk.qcow2${endpoint}`],
    ['', `npx darkroom tasks --watch${endpoint}`],
    ['stop', 'Ctrl-C'],
  ] as const;
  const lines = rows.map(([name = '', value = '']) => `  ${name.padEnd(9)}  ${value}`);
  return `\nDarkroom is ready.\n\n${lines.join('\n')}\n\n`;
}

import { pino, type Logger } from 'pino';
import { withHiddenEscaped } from '../domain/hidden-characters.ts';
import { terminalLine } from './terminal-log.ts';

/**
 * The log of this process, as JSON lines on standard output; on a terminal as lines for people.
 *
 * @param fields on each line.
 */
export function openLog(level: string, fields: object | null): Logger {
  const options = {
    level,
    base: fields,
    // Lines hold what callers and sources wrote, and are read in terminals.
    hooks: { streamWrite: withHiddenEscaped },
  };
  const { stdout } = process;
  if (!stdout.isTTY) {
    return pino(options);
  }
  const hasColours = stdout.hasColors();
  return pino(options, { write: (line) => void stdout.write(terminalLine(line, hasColours)) });
}

/**
 * Has the log tell of defects that end this process.
 *
 * @param unfinished what is not done yet, and must not end without a word.
 */
export function tellDefects(logger: Logger, unfinished: () => 'start' | 'stop' | undefined): void {
  process.on('uncaughtExceptionMonitor', (error) => {
    logger.fatal(
      { err: error },
      'a defect of the service ends it; the next start repairs what it left',
    );
  });
  // Node ends with code 13 and says nothing when what is awaited can no longer come.
  process.on('beforeExit', () => {
    const what = unfinished();
    if (what !== undefined) {
      logger.fatal(
        `a defect of the service ends it: its ${what} waited for what can no longer come`,
      );
      process.exit(1);
    }
  });
}

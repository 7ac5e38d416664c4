import type { Timestamp } from '@bufbuild/protobuf/wkt';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import { quoted } from '../../domain/quoted.ts';
import { CommandFailure } from '../command-failure.ts';
import { exitCodes } from '../exit-codes.ts';
import { timeText } from '../output/amounts.ts';
import { shownText } from '../output/shown-text.ts';

/** What tells records of a kind apart. */
interface Told {
  readonly id: string;
  readonly name: string;
  readonly createTime?: Timestamp | undefined;
}

/** Says that more than one is meant, and which. */
export function severalFailure(
  kind: 'image' | 'task',
  text: string,
  meant: readonly Told[],
): CommandFailure {
  const lines = meant.map(({ id, name, createTime }) => {
    const made = createTime === undefined ? '' : `  made ${timeText(timestampDate(createTime))}`;
    return `  ${id}  ${shownText(name)}${made}`;
  });
  return new CommandFailure(
    exitCodes.notFound,
    `more than one ${kind} is meant by ${quoted(text)}; say which by its id:\n${lines.join('\n')}`,
  );
}

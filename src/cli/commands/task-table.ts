import { Image_State, type Task } from '../../client/contract.ts';
import type { DarkroomClient } from '../../client/exports.ts';
import { shortened } from '../finding/id-text.ts';
import { ageText } from '../output/amounts.ts';
import type { Screen } from '../output/screen.ts';
import type { Column } from '../output/table.ts';
import {
  dateOf,
  phaseWord,
  progressText,
  shortProgress,
  stateCell,
  typeWord,
} from '../words/task-words.ts';

/** As many as a filter takes. */
const idsAtOnce = 128;

/** The names of the images of tasks, by their ids; deleted ones and hidden ones too. */
export async function imageNames(
  client: Pick<DarkroomClient, 'images'>,
  tasks: readonly Pick<Task, 'imageId'>[],
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const ids = [...new Set(tasks.map(({ imageId }) => imageId))];
  const names = new Map<string, string>();
  const states = [Image_State.QUEUED, Image_State.ACTIVE, Image_State.DELETED];
  for (let from = 0; from < ids.length; from += idsAtOnce) {
    const some = ids.slice(from, from + idsAtOnce);
    for (const hidden of [false, true]) {
      const filter = { ids: some, hidden, states };
      const { images } = await client.images.listImages({ filter, pageSize: 1000 }, { signal });
      images.forEach(({ id, name }) => names.set(id, name));
      if (images.length === some.length) {
        break;
      }
    }
  }
  return names;
}

/** The columns of a table of tasks. @param names of their images, by id */
export function taskColumns(
  tasks: readonly Task[],
  names: ReadonlyMap<string, string>,
  isShort: boolean,
  { style }: Screen,
): Column<Task>[] {
  const now = new Date();
  const ids = shortened(tasks.map(({ id }) => id));
  const wide: Column<Task>[] = isShort
    ? []
    : [
        { title: 'IMAGE ID', cell: ({ imageId }) => imageId },
        { title: 'BY', cell: ({ createdBy }) => createdBy },
      ];
  return [
    {
      title: 'ID',
      cell: ({ id }) => ({ text: isShort ? (ids.get(id) ?? id) : id, style: style.accent }),
    },
    { title: 'TYPE', cell: typeWord },
    { title: 'IMAGE', cell: ({ imageId }) => names.get(imageId) || '-', shrinksTo: 8 },
    { title: 'STATE', cell: ({ state }) => stateCell(state, style) },
    { title: 'DOING', cell: phaseWord, shrinksTo: 9 },
    {
      title: 'BYTES',
      cell: ({ progress }) => (isShort ? shortProgress(progress) : progressText(progress)),
    },
    {
      title: 'AGE',
      cell: ({ createTime }) => ageText(dateOf(createTime) ?? now, now),
      align: 'right',
    },
    ...wide,
    {
      title: 'LAST FAULT',
      cell: ({ lastFault, faultCount }) => ({
        text: faultWords(lastFault?.reason, faultCount),
        style: lastFault?.fatal === true ? style.bad : style.warn,
      }),
      shrinksTo: 10,
    },
  ];
}

/** The newest fault, and how many there were besides. */
function faultWords(reason: string | undefined, count: number): string {
  return reason === undefined ? '' : count > 1 ? `${reason} and ${count - 1} more` : reason;
}

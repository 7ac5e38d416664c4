import { Task_State, type Task } from '../../../gen/darkroom/v1/task_pb.ts';
import { nameOfImage } from '../service/image-names.ts';
import { Moment } from '../parts/moment.tsx';
import { ProgressBar } from '../parts/progress-bar.tsx';
import { StateMark } from '../parts/state-mark.tsx';
import { useIsNarrow } from '../parts/use-media.ts';
import { VirtualRows } from '../parts/virtual-rows.tsx';
import { Link } from '../routing/link.tsx';
import {
  bytesText,
  countText,
  remainingText,
  percentText,
  rateText,
  shareOf,
} from '../words/amounts.ts';
import { isLive, phaseWord, stateWord, typeWord } from '../words/task-words.ts';
import type { FollowedTask } from './followed-tasks.ts';
import { leftMs, type Pace } from './task-rate.ts';

/** Heights of a row, in px, as the style sheet has them. */
const rowHeight = { wide: 57, narrow: 93 };

/** Tasks, one a row, however many. */
export function TaskRows({
  tasks,
  isOfOneImage = false,
}: {
  readonly tasks: readonly FollowedTask[];
  /** Whether they are all of one image, whose name need not be said then. */
  readonly isOfOneImage?: boolean;
}) {
  const isNarrow = useIsNarrow();
  return (
    <div class="table task-table" role="table" aria-label="Tasks" aria-rowcount={tasks.length + 1}>
      <div role="rowgroup" class="table-head">
        <div role="row" class="table-row" aria-rowindex={1}>
          <span role="columnheader">{isOfOneImage ? 'Task' : 'Image'}</span>
          <span role="columnheader">State</span>
          <span role="columnheader">Progress</span>
          <span role="columnheader" class="number">
            Rate
          </span>
          <span role="columnheader" class="number">
            Left
          </span>
          <span role="columnheader" class="number">
            Changed
          </span>
        </div>
      </div>
      <VirtualRows
        count={tasks.length}
        rowHeight={isNarrow ? rowHeight.narrow : rowHeight.wide}
        row={(index) => {
          const followed = tasks[index];
          return (
            followed && (
              <TaskRow
                key={followed.task.id}
                followed={followed}
                index={index + 2}
                isOfOneImage={isOfOneImage}
              />
            )
          );
        }}
      />
    </div>
  );
}

function TaskRow({
  followed: { task, pace },
  index,
  isOfOneImage,
}: {
  readonly followed: FollowedTask;
  readonly index: number;
  readonly isOfOneImage: boolean;
}) {
  const [word, tone] = stateWord(task.state);
  // That a task waits for data is what its state says already.
  const phase = task.state === Task_State.PENDING ? '' : phaseWord(task.phase);
  const isAtWork = isLive(task.state);
  const left = isAtWork ? leftMs(pace, task.progress?.bytesTotal) : undefined;
  return (
    <div role="row" class="table-row row-link" aria-rowindex={index}>
      <span role="cell" class="cell-name">
        <Link to={`/tasks/${task.id}`} class="row-target">
          {isOfOneImage
            ? `${typeWord(task.type)}, attempt ${task.attempt}`
            : nameOfImage(task.imageId)}
        </Link>
        <span class="cell-note">
          {isOfOneImage ? `by ${task.createdBy}` : typeWord(task.type)}
          {!isOfOneImage && task.attempt > 1 && ` · attempt ${task.attempt}`}
          {task.faultCount > 0 && (
            <span class={task.state === Task_State.FAILED ? 'noted-bad' : ''}>
              {` · ${countText(task.faultCount, 'fault')}`}
              {task.lastFault !== undefined && `, ${task.lastFault.reason}`}
            </span>
          )}
        </span>
      </span>
      <span role="cell" class="cell-state">
        <StateMark word={word} tone={tone} />
        {isAtWork && phase !== '' && <span class="cell-note">{phase}</span>}
      </span>
      <span role="cell" class="cell-progress">
        <TaskProgress task={task} pace={pace} />
      </span>
      <span role="cell" class="number cell-rate">
        {isAtWork && pace !== undefined && pace.rate >= 1 && rateText(pace.rate)}
      </span>
      <span role="cell" class="number cell-left">
        {left !== undefined && remainingText(left)}
      </span>
      <span role="cell" class="number cell-changed">
        <Moment time={task.updateTime} />
      </span>
    </div>
  );
}

/** How far a task is: a bar while it goes, and the bytes. */
export function TaskProgress({
  task,
  pace,
}: {
  readonly task: Task;
  readonly pace: Pace | undefined;
}) {
  const done = task.progress?.bytesDone ?? 0n;
  const total = task.progress?.bytesTotal;
  const share = shareOf(done, total);
  const unpacked = task.progress?.bytesUnpacked;
  return (
    <>
      {isLive(task.state) && (share !== undefined || done > 0n) && (
        <ProgressBar share={share} label="Progress" isStill={(pace?.rate ?? 0) < 1} />
      )}
      <span class="cell-note">
        {total === undefined || task.state === Task_State.SUCCEEDED
          ? bytesText(done)
          : `${bytesText(done)} of ${bytesText(total)}${share === undefined ? '' : ` · ${percentText(share)}`}`}
        {unpacked !== undefined && ` · ${bytesText(unpacked)} unpacked`}
      </span>
    </>
  );
}

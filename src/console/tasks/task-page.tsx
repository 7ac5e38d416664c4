import { timestampMs } from '@bufbuild/protobuf/wkt';
import { useEffect, useMemo } from 'preact/hooks';
import {
  TaskEvent_Kind,
  Task_Type,
  type Task,
  type TaskEvent,
} from '../../../gen/darkroom/v1/task_pb.ts';
import { nameOfImage } from '../service/image-names.ts';
import { Copyable } from '../parts/copyable.tsx';
import { Facts } from '../parts/facts.tsx';
import { FaultNote } from '../parts/fault-note.tsx';
import { Moment } from '../parts/moment.tsx';
import { Empty, FailureNotice, Loading } from '../parts/notice.tsx';
import { ProgressBar } from '../parts/progress-bar.tsx';
import { StateMark } from '../parts/state-mark.tsx';
import { PageTitle } from '../parts/page-title.tsx';
import { Link } from '../routing/link.tsx';
import { now } from '../service/clock.ts';
import { ContinueUpload } from '../uploads/continue-upload.tsx';
import {
  bytesText,
  countText,
  durationText,
  percentText,
  rateText,
  remainingText,
  shareOf,
} from '../words/amounts.ts';
import { isLive, phaseWord, stateWord, typeWord } from '../words/task-words.ts';
import { followTask, type TaskStory } from './follow-task.ts';
import { TaskActions } from './task-actions.tsx';
import { leftMs, type Pace } from './task-rate.ts';
import { TaskTimeline } from './task-timeline.tsx';

/** One task: how far it is, what happened to it, and what can be done. */
export function TaskPage({ id }: { readonly id: string }) {
  const story = useMemo(() => followTask(id), [id]);
  useEffect(() => story.stop, [story]);
  const task = story.task.value;
  const failure = story.failure.value;
  if (task === undefined) {
    return failure?.kind === 'missing' ? (
      <Empty title="There is no such task." isPage>
        <Link to="/tasks">Show the tasks that there are</Link>
      </Empty>
    ) : failure === undefined ? (
      <Loading />
    ) : (
      <FailureNotice failure={failure} />
    );
  }
  return <TaskView task={task} story={story} />;
}

function TaskView({ task, story }: { readonly task: Task; readonly story: TaskStory }) {
  const [word, tone] = stateWord(task.state);
  const events = story.events.value;
  const faults = events.flatMap(({ fault }) => (fault === undefined ? [] : [fault])).toReversed();
  return (
    <>
      <nav class="crumbs" aria-label="Where you are">
        <Link to="/tasks">Tasks</Link>
      </nav>
      <div class="page-head">
        <div class="title">
          <PageTitle>
            {typeWord(task.type)} of{' '}
            <Link to={`/images/${task.imageId}`}>{nameOfImage(task.imageId)}</Link>
          </PageTitle>
          <StateMark word={word} tone={tone} />
        </div>
        <div class="acts">
          <ContinueUpload task={task} />
          <TaskActions task={task} />
        </div>
      </div>
      <HowFar task={task} pace={story.pace.value} />
      <section class="panel" aria-label="Timeline">
        <TaskTimeline task={task} events={events} />
      </section>
      {faults.length > 0 && (
        <section>
          <h2>{countText(faults.length, 'fault')}</h2>
          <div class="faults">
            {faults.map((fault) => (
              <FaultNote key={fault.id} fault={fault} type={task.type} />
            ))}
          </div>
        </section>
      )}
      <div class="columns">
        <section>
          <h2>What happened</h2>
          <Events events={events} />
        </section>
        <section>
          <h2>Facts</h2>
          <TaskFacts task={task} />
        </section>
      </div>
    </>
  );
}

function HowFar({ task, pace }: { readonly task: Task; readonly pace: Pace | undefined }) {
  const done = task.progress?.bytesDone ?? 0n;
  const total = task.progress?.bytesTotal;
  const share = shareOf(done, total);
  const isAtWork = isLive(task.state);
  const left = isAtWork ? leftMs(pace, total) : undefined;
  const isShort = total !== undefined && done < total;
  const holes = done - (task.progress?.bytesStored ?? done);
  const expiresInMs =
    task.expireTime === undefined ? undefined : timestampMs(task.expireTime) - now.value;
  return (
    <section class="how-far" aria-label="Progress">
      <p class="how-far-amount">
        <strong>{done === 0n && !isAtWork ? 'Nothing came' : bytesText(done)}</strong>
        {total !== undefined && (isAtWork || isShort) && ` of ${bytesText(total)}`}
        {share !== undefined && isAtWork && ` · ${percentText(share)}`}
      </p>
      {isAtWork && <ProgressBar share={share} label="Progress" isStill={(pace?.rate ?? 0) < 1} />}
      <p class="how-far-note">
        {[
          isAtWork ? phaseWord(task.phase) : '',
          isAtWork && pace !== undefined && pace.rate >= 1 ? rateText(pace.rate) : '',
          left === undefined ? '' : `${remainingText(left)} left`,
          holes > 0n ? `${bytesText(holes)} of it zeros that take no room` : '',
          expiresInMs !== undefined && expiresInMs > 0 && (pace?.rate ?? 0) < 1
            ? `fails in ${remainingText(expiresInMs)} unless something comes`
            : '',
        ]
          .filter((part) => part !== '')
          .join(' · ')}
      </p>
      {task.message !== '' && <p class="how-far-message">{task.message}</p>}
    </section>
  );
}

const kinds: ReadonlyMap<TaskEvent_Kind, string> = new Map([
  [TaskEvent_Kind.CREATED, 'Created'],
  [TaskEvent_Kind.STATE_CHANGED, 'State'],
  [TaskEvent_Kind.PHASE_CHANGED, 'Phase'],
  [TaskEvent_Kind.FAULT, 'Fault'],
  [TaskEvent_Kind.WRITER_CHANGED, 'Writer'],
  [TaskEvent_Kind.RETRIED, 'Retried'],
]);

function Events({ events }: { readonly events: readonly TaskEvent[] }) {
  const first = events[0]?.createTime;
  return (
    <ol class="events">
      {events.map((event) => (
        <li key={event.revision} class={event.fault?.fatal === true ? 'event-fatal' : ''}>
          <span class="event-time">
            {event.createTime !== undefined && first !== undefined
              ? `+${durationText(timestampMs(event.createTime) - timestampMs(first))}`
              : ''}
          </span>
          <span class="event-kind">{kinds.get(event.kind) ?? 'Change'}</span>
          <span class="event-text">{eventText(event)}</span>
          <span class="event-bytes">{bytesText(event.bytesDone)}</span>
        </li>
      ))}
    </ol>
  );
}

function eventText({ kind, fault, state, phase, cause }: TaskEvent): string {
  switch (kind) {
    case TaskEvent_Kind.FAULT:
      return fault === undefined ? cause : fault.reason;
    case TaskEvent_Kind.STATE_CHANGED:
      return [stateWord(state)[0].toLowerCase(), cause].filter((text) => text !== '').join(': ');
    case TaskEvent_Kind.PHASE_CHANGED:
      return [phaseWord(phase), cause].filter((text) => text !== '').join(': ');
    default:
      return cause;
  }
}

function TaskFacts({ task }: { readonly task: Task }) {
  const took =
    task.finishTime !== undefined && task.createTime !== undefined
      ? durationText(timestampMs(task.finishTime) - timestampMs(task.createTime))
      : undefined;
  return (
    <Facts
      facts={[
        ['Id', <Copyable text={task.id} label="the task’s id" />],
        ['Made', <Moment time={task.createTime} />],
        ['By', task.createdBy],
        ['Took', took],
        ['Attempt', String(task.attempt)],
        [
          'Retry of',
          task.retryOf === '' ? undefined : (
            <Link to={`/tasks/${task.retryOf}`}>the attempt before</Link>
          ),
        ],
        [
          'Retried by',
          task.retriedBy === '' ? undefined : (
            <Link to={`/tasks/${task.retriedBy}`}>the next attempt</Link>
          ),
        ],
        [task.type === Task_Type.IMPORT ? 'Source' : 'From', task.source],
        ['Unpacked here', task.decompress ? 'yes' : undefined],
        ['Request', task.requestId === '' ? undefined : <code>{task.requestId}</code>],
        ...Object.entries(task.labels).map(([name, value]) => [name, value] as const),
      ]}
    />
  );
}

import { Choice } from '../parts/choice.tsx';
import { Empty, FailureNotice, Loading } from '../parts/notice.tsx';
import { SearchBox } from '../parts/search-box.tsx';
import { Select } from '../parts/select.tsx';
import { PageTitle } from '../parts/page-title.tsx';
import { nameOfImage } from '../service/image-names.ts';
import { currentPlace, goTo, withQuery } from '../routing/location.ts';
import { countText, rateText } from '../words/amounts.ts';
import { isLive } from '../words/task-words.ts';
import { mostTasks } from './followed-tasks.ts';
import { sinceChoices, stateChoices, taskQueryOf, typeChoices, watchFilter } from './task-query.ts';
import { TaskRows } from './task-rows.tsx';
import { useFollowedTasks } from './use-followed-tasks.ts';

/** The board: what is going on, live. */
export function TasksPage() {
  const { query } = currentPlace.value;
  const asked = taskQueryOf(query);
  const search = (query.get('q') ?? '').toLowerCase();
  const followed = useFollowedTasks(JSON.stringify(asked), () => watchFilter(asked, Date.now()));
  const all = followed.all.value;
  const shown =
    search === ''
      ? all
      : all.filter(
          ({ task }) =>
            task.id.startsWith(search) ||
            task.imageId.startsWith(search) ||
            nameOfImage(task.imageId).toLowerCase().includes(search),
        );
  const live = all.filter(({ task }) => isLive(task.state));
  const rate = live.reduce((sum, { pace }) => sum + (pace?.rate ?? 0), 0);
  const narrow = (changes: Readonly<Record<string, string>>, how?: 'replace'): void =>
    goTo(withQuery(changes), how);
  const failure = followed.failure.value;

  return (
    <>
      <div class="page-head">
        <PageTitle>Tasks</PageTitle>
        {followed.isWhole.value && (
          <p class="page-sum" data-testid="sum">
            {countText(live.length, 'live task')}
            {rate >= 1 && ` · ${rateText(rate)}`}
          </p>
        )}
        <SearchBox
          label="Search these tasks by the names of their images, or by id"
          hint="Image or id"
          text={query.get('q') ?? ''}
          onText={(q) => narrow({ q }, 'replace')}
        />
      </div>
      <div class="filters">
        <Choice
          label="State"
          chosen={asked.state}
          options={[...stateChoices].map(([word, [, text]]) => [word, text])}
          onChoose={(state) => narrow({ state })}
        />
        <Select
          label="Type"
          chosen={asked.type}
          options={[
            ['', 'Any type'],
            ...[...typeChoices.keys()].map((word) => [word, word] as const),
          ]}
          onChoose={(type) => narrow({ type })}
        />
        <Select
          label="Faults"
          chosen={asked.faults ? 'yes' : ''}
          options={[
            ['', 'Faults or not'],
            ['yes', 'With faults'],
          ]}
          onChoose={(faults) => narrow({ faults })}
        />
        {asked.state !== '' && (
          <Select
            label="Changed"
            chosen={asked.since}
            options={[...sinceChoices].map(([word, [, text]]) => [word, text])}
            onChoose={(since) => narrow({ since })}
          />
        )}
      </div>
      {failure !== undefined && <FailureNotice failure={failure} />}
      {!followed.isWhole.value && failure === undefined && <Loading />}
      {followed.isWhole.value &&
        (shown.length > 0 ? (
          <TaskRows tasks={shown} />
        ) : (
          <Empty
            title={
              asked.state === '' && search === '' ? 'Nothing is going on.' : 'No task is like that.'
            }
          >
            {asked.state === '' && <p>Uploads, snapshots and imports show here while they run.</p>}
          </Empty>
        ))}
      {all.length >= mostTasks && (
        <p class="page-note">
          The newest {mostTasks.toLocaleString('en-GB')} tasks are shown. Narrow them down to see
          others.
        </p>
      )}
    </>
  );
}

import { useEffect, useRef } from 'preact/hooks';
import { Task_State } from '../../../gen/darkroom/v1/task_pb.ts';
import { Button } from '../parts/button.tsx';
import { Choice } from '../parts/choice.tsx';
import { Empty, FailureNotice, Loading } from '../parts/notice.tsx';
import { SearchBox } from '../parts/search-box.tsx';
import { Select } from '../parts/select.tsx';
import { PageTitle } from '../parts/page-title.tsx';
import { Link } from '../routing/link.tsx';
import { currentPlace, goTo, withQuery } from '../routing/location.ts';
import { images } from '../service/service.ts';
import { useRead } from '../service/use-read.ts';
import { useFollowedTasks } from '../tasks/use-followed-tasks.ts';
import { newImage } from '../uploads/new-image-order.ts';
import { diskFormats, visibilities } from '../words/image-words.ts';
import { imageQueryOf, isNarrowed, listRequest, orders } from './image-query.ts';
import { ImageRows } from './image-rows.tsx';

/** How long changes are gathered before the list is read again, in ms. */
const gatherMs = 700;

/** All images that the reader sees, as the address narrows them down. */
export function ImagesPage() {
  const query = imageQueryOf(currentPlace.value.query);
  const read = useRead(
    `images ${JSON.stringify(query)}`,
    (signal) => images.listImages(listRequest(query), { signal }),
    true,
  );

  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const readSoon = (): void => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      read.again();
    }, gatherMs);
  };
  const live = useFollowedTasks(
    'live',
    () => ({ states: [Task_State.PENDING, Task_State.RUNNING] }),
    readSoon,
  );
  const byImage = new Map(live.all.value.map((followed) => [followed.task.imageId, followed]));

  const narrow = (changes: Readonly<Record<string, string>>, how?: 'replace'): void =>
    goTo(withQuery({ page: undefined, ...changes }), how);
  const found = read.value?.images ?? [];
  const next = read.value?.nextPageToken ?? '';

  return (
    <>
      <div class="page-head">
        <PageTitle>Images</PageTitle>
        <SearchBox
          label="Search images by the beginning of their names, or by id"
          hint="Name or id"
          text={query.search}
          onText={(q) => narrow({ q }, 'replace')}
        />
      </div>
      <div class="filters">
        <Choice
          label="Outlook"
          chosen={query.outlook}
          options={[
            ['', 'All'],
            ['available', 'Available'],
            ['coming', 'Coming'],
            ['not-coming', 'Not coming'],
          ]}
          onChoose={(outlook) => narrow({ outlook })}
        />
        <Select
          label="Format"
          chosen={query.format}
          options={[['', 'Any format'], ...[...diskFormats.values()].map(same)]}
          onChoose={(format) => narrow({ format })}
        />
        <Select
          label="Visibility"
          chosen={query.visibility}
          options={[
            ['', 'Any visibility'],
            ...[...visibilities.values()].map(([name]) => same(name)),
          ]}
          onChoose={(visibility) => narrow({ visibility })}
        />
        <Select
          label="Order"
          chosen={query.order === '' ? 'newest' : query.order}
          options={[...orders].map(([word, [, text]]) => [word, text])}
          onChoose={(order) => narrow({ order: order === 'newest' ? '' : order })}
        />
      </div>
      {read.failure !== undefined && <FailureNotice failure={read.failure} onAgain={read.again} />}
      {read.value === undefined && read.failure === undefined && <Loading />}
      {read.value !== undefined &&
        (found.length > 0 ? (
          <ImageRows images={found} live={byImage} />
        ) : isNarrowed(query) || query.page !== '' ? (
          <Empty title="No image is like that.">
            <Link to="/images">Show all images</Link>
          </Empty>
        ) : (
          <Empty title="There are no images yet.">
            <p>Drop a disk image anywhere on this page, or</p>
            <Button kind="main" onClick={() => newImage()}>
              Bring the first image
            </Button>
          </Empty>
        ))}
      {(next !== '' || query.page !== '') && (
        <nav class="pages" aria-label="Pages">
          {query.page !== '' && <Link to={withQuery({ page: undefined })}>First page</Link>}
          {next !== '' && <Link to={withQuery({ page: next })}>Next page</Link>}
        </nav>
      )}
    </>
  );
}

function same(word: string): readonly [string, string] {
  return [word, word];
}

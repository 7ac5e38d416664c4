import { useEffect, useState } from 'preact/hooks';
import { ImagePage } from './images/image-page.tsx';
import { ImagesPage } from './images/images-page.tsx';
import { Button } from './parts/button.tsx';
import { Empty } from './parts/notice.tsx';
import { Toasts } from './parts/toasts.tsx';
import { Link } from './routing/link.tsx';
import { currentPlace } from './routing/location.ts';
import { isReached, quotas } from './service/service.ts';
import { ownProject, signInAsked, signOut, token, whyReadOnly } from './service/session.ts';
import { useRead } from './service/use-read.ts';
import { SignInPage } from './sign-in-page.tsx';
import { TaskPage } from './tasks/task-page.tsx';
import { TasksPage } from './tasks/tasks-page.tsx';
import { givenByDrop, newImage, newImageAsked } from './uploads/new-image-order.ts';
import { NewImageDialog } from './uploads/new-image-dialog.tsx';
import { UploadsPage } from './uploads/uploads-page.tsx';
import { uploadsUnderWay } from './uploads/upload-list.ts';
import { continueStored } from './uploads/uploads.ts';

/** The console: its head, and the page that the address names. */
export function App() {
  const isAsked = signInAsked.value !== undefined;
  useEffect(() => {
    if (!isAsked) {
      void continueStored();
    }
  }, [isAsked]);
  return (
    <>
      <a class="skip" href="#main">
        Skip to the page
      </a>
      <Head />
      {!isReached.value && (
        <p class="banner" role="alert">
          The service does not answer. What you see may be old; this page tries again by itself.
        </p>
      )}
      <main id="main" tabIndex={-1}>
        {isAsked ? <SignInPage /> : <Page />}
      </main>
      <NewImageDialog />
      <DropTarget />
      <Toasts />
    </>
  );
}

function Page() {
  const [, room = '', id = ''] = currentPlace.value.path.split('/');
  const page = pageOf(room, id);
  const title = `${page.title} · Darkroom`;
  useEffect(() => {
    document.title = title;
  }, [title]);
  return page.show();
}

function pageOf(room: string, id: string): { readonly title: string; show(): preact.JSX.Element } {
  switch (room) {
    case '':
    case 'images':
      return id === ''
        ? { title: 'Images', show: () => <ImagesPage /> }
        : { title: 'Image', show: () => <ImagePage key={id} id={id} /> };
    case 'tasks':
      return id === ''
        ? { title: 'Tasks', show: () => <TasksPage /> }
        : { title: 'Task', show: () => <TaskPage key={id} id={id} /> };
    case 'uploads':
      return { title: 'Uploads', show: () => <UploadsPage /> };
    default:
      return {
        title: 'Nothing here',
        show: () => (
          <Empty title="There is no such page." isPage>
            <Link to="/images">Show the images</Link>
          </Empty>
        ),
      };
  }
}

function Head() {
  const [, room = ''] = currentPlace.value.path.split('/');
  const isAsked = signInAsked.value !== undefined;
  // Who calls is known to the service alone; whose quota it tells, for that project the reader acts.
  const quota = useRead(`quota ${token() ?? ''} ${isAsked}`, async (signal) =>
    isAsked ? undefined : (await quotas.getQuota({}, { signal })).quota,
  ).value;
  useEffect(() => {
    if (quota !== undefined) {
      ownProject.value = quota.projectId;
    }
  }, [quota]);
  const underWay = uploadsUnderWay();
  const here = (name: string): { readonly 'aria-current'?: 'page' } =>
    (room === '' ? 'images' : room) === name ? { 'aria-current': 'page' } : {};
  return (
    <header class="head">
      <div class="head-inner">
        <Link to="/images" class="brand" aria-label="Darkroom: images">
          <span class="brand-mark" aria-hidden="true" />
          <span class="brand-name">Darkroom</span>
        </Link>
        <nav aria-label="Pages of the console">
          <Link to="/images" {...here('images')}>
            Images
          </Link>
          <Link to="/tasks" {...here('tasks')}>
            Tasks
          </Link>
          <Link to="/uploads" {...here('uploads')}>
            Uploads
            {underWay > 0 && (
              <span class="count" aria-label={`, ${underWay} under way`}>
                {underWay}
              </span>
            )}
          </Link>
        </nav>
        <div class="head-end">
          {ownProject.value !== undefined && (
            <span class="project" title="The project that you act for">
              {ownProject.value}
            </span>
          )}
          {token() !== undefined && (
            <Button kind="bare" onClick={signOut}>
              Sign out
            </Button>
          )}
          {!isAsked && (
            <Button kind="main" whyNot={whyReadOnly()} onClick={() => newImage()}>
              New image
            </Button>
          )}
        </div>
      </div>
    </header>
  );
}

/** A file that is dropped anywhere becomes a new image, if the reader says so. */
function DropTarget() {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const hasFile = (event: DragEvent): boolean =>
      event.dataTransfer?.types.includes('Files') === true &&
      signInAsked.value === undefined &&
      newImageAsked.value === undefined;
    const over = (event: DragEvent): void => {
      if (hasFile(event)) {
        event.preventDefault();
        setOver(true);
      }
    };
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) {
        setOver(false);
      }
    };
    const drop = (event: DragEvent): void => {
      setOver(false);
      if (hasFile(event) && event.dataTransfer !== null) {
        event.preventDefault();
        void givenByDrop(event.dataTransfer).then(
          (given) => given !== undefined && newImage(given),
        );
      }
    };
    window.addEventListener('dragover', over);
    window.addEventListener('dragleave', leave);
    window.addEventListener('drop', drop);
    return () => {
      window.removeEventListener('dragover', over);
      window.removeEventListener('dragleave', leave);
      window.removeEventListener('drop', drop);
    };
  }, []);
  return isOver ? <div class="drop-anywhere">Drop the disk image to upload it</div> : null;
}

import { useState } from 'preact/hooks';
import type { Task } from '../../../gen/darkroom/v1/task_pb.ts';
import { Button } from '../parts/button.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { tell, tellFailure } from '../parts/toasts.tsx';
import { goTo } from '../routing/location.ts';
import { tasks } from '../service/service.ts';
import { whyReadOnly } from '../service/session.ts';
import { canRetry, isLive } from '../words/task-words.ts';

/** What can be done with a task: to cancel it, or to retry it. */
export function TaskActions({ task }: { readonly task: Task }) {
  const [isAsking, setAsking] = useState(false);
  return (
    <>
      {isLive(task.state) && (
        <Button whyNot={whyReadOnly()} onClick={() => setAsking(true)}>
          Cancel…
        </Button>
      )}
      {canRetry(task) && (
        <Button kind="main" whyNot={whyReadOnly()} onClick={() => void retry(task.id)}>
          Retry
        </Button>
      )}
      {isAsking && <CancelDialog task={task} onClose={() => setAsking(false)} />}
    </>
  );
}

/** Makes the next attempt, and leads to it. */
export async function retry(taskId: string): Promise<void> {
  try {
    const { task } = await tasks.retryTask({ taskId });
    if (task !== undefined) {
      tell(`Attempt ${task.attempt} has begun.`);
      goTo(`/tasks/${task.id}`);
    }
  } catch (error) {
    tellFailure(error);
  }
}

function CancelDialog({ task, onClose }: { readonly task: Task; readonly onClose: () => void }) {
  const [reason, setReason] = useState('');
  const cancel = async (): Promise<void> => {
    onClose();
    try {
      await tasks.cancelTask({ taskId: task.id, reason });
      tell('The task was cancelled.', { text: 'Retry', run: () => void retry(task.id) });
    } catch (error) {
      tellFailure(error);
    }
  };
  return (
    <Dialog title="Cancel this task?" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void cancel();
        }}
      >
        <p>
          Its image will not come by it. What is stored is kept for a while, so that a retry can go
          on with it.
        </p>
        <Field label="Why, for whoever waits for the image" hint="Need not be said.">
          {(ids) => (
            <input
              {...ids}
              type="text"
              maxLength={1024}
              value={reason}
              onInput={(event) => setReason(event.currentTarget.value)}
            />
          )}
        </Field>
        <div class="dialog-acts">
          <Button onClick={onClose}>Let it go on</Button>
          <Button kind="danger" type="submit">
            Cancel the task
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

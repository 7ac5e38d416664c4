import { Option, type Command } from 'commander';
import { faultCodes, taskStates, taskTypes } from '../choices.ts';
import { count, duration, keyValue, wordsOf } from '../option-values.ts';
import { calling, examples, forPrograms, type Declarations } from './declaration.ts';

/** What an argument may be that says which task. */
const whichTask = 'id or its beginning; or an image, whose newest task is meant';

/** Declares what is done with tasks. */
export function declareTasks(program: Command, declarations: Declarations): void {
  const tasks = program
    .command('tasks')
    .summary('list tasks, or follow them live')
    .description('Lists the tasks of your project, newest first; with --watch, as they go on.')
    .option('-w, --watch', 'follows them until Ctrl-C: a table on a terminal, else lines')
    .option(
      '--state <words>',
      `in one of these states: ${taskStates.join(', ')}`,
      wordsOf(taskStates),
    )
    .option('--type <words>', `of one of these types: ${taskTypes.join(', ')}`, wordsOf(taskTypes))
    .option('--image <image>', 'of this image')
    .option('--label <key=value>', 'with this label; may be repeated', keyValue)
    .option('--faults', 'with faults')
    .option('--no-faults', 'without faults')
    .option('--since <time>', 'made within this time, such as 2h', duration)
    .option('--limit <count>', 'how many at most', count, 50)
    .option('--wide', 'whole ids, and more columns')
    .action(declarations.does(async () => (await import('../commands/list-tasks.ts')).listTasks));
  tasks.setOptionValue('faults', undefined);
  forPrograms(tasks, '{id} {state}');
  calling(tasks);
  examples(tasks, ['darkroom tasks --state failed --since 1d', 'what went wrong since yesterday']);

  const task = program
    .command('task')
    .summary('tell what happened to a task, and what to do now')
    .description('Tells what happened to a task, when and at which byte, and what to do now.')
    .argument('<task>', whichTask)
    .action(declarations.does(async () => (await import('../commands/show-task.ts')).showTask));
  forPrograms(task, '{state}');
  calling(task);
  examples(
    task,
    ['darkroom task debian-12', 'the newest task of an image'],
    ['darkroom task 019abc12 --json', 'with all its events, for a program'],
  );

  const watch = program
    .command('watch')
    .summary('follow a task to its end')
    .description(
      'Follows a task to its end, through broken connections and restarts of the service, and tells each change. Ends with 0 where the image is there, with 7 where the task failed, with 8 where it was cancelled.',
    )
    .argument('<task>', whichTask)
    .action(declarations.does(async () => (await import('../commands/watch-task.ts')).watchTask));
  forPrograms(watch, '{state} {progress.bytesDone}');
  calling(watch);
  examples(watch, ['darkroom watch debian-12', 'the newest task of an image']);

  const wait = program
    .command('wait')
    .summary('wait for the end of a task')
    .description(
      'Waits for the end of a task, without a word until then. Ends with 0 where the image is there, with 7 where the task failed, with 8 where it was cancelled, with 9 where the time is over.',
    )
    .argument('<task>', whichTask)
    .option('--timeout <time>', 'how long at most, such as 30m', duration)
    .action(declarations.does(async () => (await import('../commands/watch-task.ts')).waitForTask));
  forPrograms(wait, '{imageId}');
  calling(wait);
  examples(wait, ['darkroom wait debian-12 --timeout 30m && boot-it', 'for scripts']);

  const cancel = program
    .command('cancel')
    .summary('cancel a task')
    .description(
      'Ends a task that has not ended. Its bytes are kept for a while, so that it can be retried.',
    )
    .argument('<task>', whichTask)
    .option('--reason <text>', 'why, for whoever reads it')
    .action(declarations.does(async () => (await import('../commands/change-task.ts')).cancelTask));
  forPrograms(cancel, '{state}');
  calling(cancel);
  examples(cancel, ['darkroom cancel debian-12 --reason "wrong file"', 'its newest task']);

  const retry = program
    .command('retry')
    .summary('try a failed or cancelled task again')
    .description(
      'Makes the next attempt at a task that failed or was cancelled. It goes on from the bytes that are stored, where they are sound.',
    )
    .argument('<task>', whichTask)
    .action(declarations.does(async () => (await import('../commands/change-task.ts')).retryTask));
  forPrograms(retry, '{id}');
  calling(retry);
  examples(retry, ['darkroom retry debian-12', 'the newest task of an image']);

  const fault = program
    .command('fault')
    .summary('tell faults in full, or report one')
    .description(
      'Tells the faults of a task, of an image, or of your project, newest first. With --report it reports one on a task, as the producer of its bytes: whoever waits for the image learns at once that it will not come.',
    )
    .argument('[id]', 'a task or an image, by its id or its name')
    .option('--report <reason>', 'reports a fault: a stable reason such as DISK_UNREADABLE')
    .option('--message <text>', 'what went wrong, for any user to read')
    .option('--detail <text>', 'the cause, for operators only')
    .addOption(
      new Option('--code <word>', 'what kind of failure it is')
        .choices(faultCodes)
        .default('aborted'),
    )
    .option('--survived', 'the task goes on; without it, it fails')
    .option('--limit <count>', 'how many at most', count, 20)
    .action(declarations.does(async () => (await import('../commands/faults.ts')).faults));
  forPrograms(fault, '{reason} {message}');
  calling(fault);
  examples(
    fault,
    ['darkroom fault debian-12', 'all that went wrong with an image'],
    [
      'darkroom fault 019abc12 --report DISK_UNREADABLE --message "sda has bad sectors"',
      'its image will not come',
    ],
  );
}

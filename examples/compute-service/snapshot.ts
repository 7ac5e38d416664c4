/**
 * Takes a snapshot with a command of yours and brings it to Darkroom, whatever breaks on the way:
 *
 *     node snapshot.ts --name web-1 --instance 8b3e --format qcow2 DISK -- qemu-img convert -O qcow2 vm.raw DISK
 *
 * The task is there before the command has written a byte: whoever waits for the image follows it. While the command runs,
 * its progress is told; if it fails, its fault is, and the exit code is 1. Ctrl-C cancels the task.
 *
 * DARKROOM_ENDPOINT is the address of the service; DARKROOM_TOKEN a token with the role `service`, and DARKROOM_PROJECT the
 * project that the snapshot is for, where the service knows its callers.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import {
  createDarkroomClient,
  DarkroomError,
  Image_DiskFormat,
  ProducerFault,
  type SnapshotInProgress,
} from 'darkroom/client';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: 'string' },
    instance: { type: 'string' },
    format: { type: 'string', default: 'raw' },
  },
});
const [disk, program, ...args] = positionals;
const diskFormat =
  Image_DiskFormat[values.format.toUpperCase() as keyof typeof Image_DiskFormat] ??
  Image_DiskFormat.UNSPECIFIED;
if (disk === undefined || program === undefined || !values.name || !values.instance) {
  console.error(
    'snapshot.ts --name <name> --instance <id> [--format <format>] DISK -- <command> [<argument>…]',
  );
  process.exit(2);
}

const { DARKROOM_ENDPOINT = 'http://127.0.0.1:8080', DARKROOM_PROJECT: project } = process.env;
const darkroom = createDarkroomClient({
  endpoint: DARKROOM_ENDPOINT,
  // Read for each call: a long upload outlives a token, and goes on with the next one.
  credential: () => process.env['DARKROOM_TOKEN'],
  ...(project !== undefined && { project }),
});

const interrupted = new AbortController();
process.once('SIGINT', () => interrupted.abort(new Error('interrupted')));

/** Runs the command; tells how far it is. @throws ProducerFault, which becomes the fault of the task */
async function take({ report, signal }: SnapshotInProgress): Promise<string> {
  const command = spawn(program ?? '', args, { stdio: ['ignore', 'inherit', 'pipe'], signal });
  let said = '';
  command.stderr
    .setEncoding('utf8')
    .on('data', (text: string) => (said = (said + text).slice(-4000)));
  const timer = setInterval(() => {
    // A report that is lost is followed by the next one.
    void copiedBytes()
      .then((bytesDone) => report({ message: 'The disk is being copied', bytesDone }))
      .catch(() => undefined);
  }, 1000);
  try {
    const [code] = (await once(command, 'close')) as [number | null];
    if (code !== 0) {
      const how = code === null ? 'was killed' : `ended with exit code ${code}`;
      throw new ProducerFault('SNAPSHOT_COMMAND_FAILED', `${program} ${how}.`, { detail: said });
    }
    return disk ?? '';
  } catch (error) {
    throw error instanceof ProducerFault || signal.aborted
      ? error
      : new ProducerFault(
          'SNAPSHOT_COMMAND_FAILED',
          `${program} could not be run: ${String(error)}.`,
        );
  } finally {
    clearInterval(timer);
  }
}

async function copiedBytes(): Promise<number> {
  return (await stat(disk ?? '')).blocks * 512;
}

try {
  const { image, resumes } = await darkroom.runSnapshot(
    {
      image: { name: values.name, diskFormat },
      labels: { instance: values.instance },
      signal: interrupted.signal,
      onTask: ({ taskId, imageId }) => console.log(`task ${taskId} image ${imageId}`),
    },
    take,
  );
  console.log(
    `image ${image.id} has ${image.sizeBytes} bytes, sha256 ${image.sha256}, resumed ${resumes} times`,
  );
} catch (error) {
  const reason = error instanceof DarkroomError ? `${error.fault?.reason ?? error.reason}: ` : '';
  console.error(`${reason}${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  darkroom.close();
}

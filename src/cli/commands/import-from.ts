import { randomUUID } from 'node:crypto';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { ImageSchema } from '../../client/exports.ts';
import { CommandFailure } from '../command-failure.ts';
import { Interruption, type CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { recordText, type RecordFormat } from '../output/record-format.ts';
import { newImage } from '../uploads/new-image.ts';
import { formatByName, nameOf } from '../uploads/source-format.ts';
import { exitCodeFor } from './change-task.ts';
import type { UploadOptions } from '../uploads/upload-options.ts';
import { followTask } from './watch-task.ts';

/** Has the service fetch an image, and follows it. Whoever stops to follow leaves the import going on. */
export async function importFrom(
  context: CommandContext,
  url: string,
  options: UploadOptions,
  format: RecordFormat | undefined,
): Promise<ExitCode> {
  const { out, notes, signal } = context;
  const path = URL.canParse(url) ? decodedPath(url) : '';
  const name = options.name ?? nameOf(path);
  const { decompress, image } = newImage(options, name, formatByName(path));
  const { size, sha256, sha512, header, idleTimeout } = options;
  return withClient(context, options, async (client) => {
    const answer = await client.images.createImage(
      {
        image,
        requestId: randomUUID(),
        ...(idleTimeout === undefined ? {} : { idleTimeout: durationFromMs(idleTimeout) }),
        source: {
          case: 'copyFrom',
          value: {
            from: { case: 'url', value: url },
            decompress,
            headers: { ...header },
            ...(size === undefined ? {} : { totalSize: BigInt(size) }),
            ...(sha256 === undefined ? {} : { sha256 }),
            ...(sha512 === undefined ? {} : { sha512 }),
          },
        },
      },
      { signal },
    );
    const { task, image: made } = answer;
    if (task === undefined || made === undefined) {
      throw new CommandFailure(exitCodes.failed, 'the service has answered without image or task');
    }
    if (options.detach === true) {
      out.write(
        format === undefined
          ? `The service fetches it: darkroom watch ${task.id}\n`
          : recordText(format, ImageSchema, made),
      );
      return exitCodes.done;
    }
    try {
      // For programs the image alone is told, when it is there.
      const quiet = format === undefined ? context : { ...context, out: notes };
      const ended = await followTask(quiet, client, task.id);
      if (format !== undefined) {
        const { image: now = made } = await client.images.getImage(
          { imageId: made.id },
          { signal },
        );
        out.write(recordText(format, ImageSchema, now));
      }
      return exitCodeFor(ended);
    } catch (error) {
      if (signal.reason instanceof Interruption) {
        notes.line(
          `The service goes on to fetch it without you. To follow it: darkroom watch ${task.id}`,
        );
        notes.line(`To give it up: darkroom cancel ${task.id}`);
      }
      throw error;
    }
  });
}

function decodedPath(url: string): string {
  const { pathname } = new URL(url);
  try {
    return decodeURIComponent(pathname);
  } catch {
    return pathname;
  }
}

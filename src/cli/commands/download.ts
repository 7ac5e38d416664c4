import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Image_DiskFormat, type DownloadProgress, type Image } from '../../client/exports.ts';
import { CommandFailure } from '../command-failure.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { exitCodes } from '../exit-codes.ts';
import { findImage } from '../finding/find-image.ts';
import { bytesText, durationText } from '../output/amounts.ts';
import { LiveLines } from '../output/live.ts';
import { shownText } from '../output/shown-text.ts';
import { transferLines } from '../output/transfer-bar.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';
import { UsageError } from '../usage-error.ts';
import { diskFormatWord, imageTitle } from '../words/image-words.ts';

/** What `darkroom download` may be told. */
export interface DownloadOptions extends ConnectionOptions {
  readonly output?: string;
  readonly force?: boolean;
  readonly quiet?: boolean;
  readonly parallel?: number;
}

/** Brings an image out: into a file, which is whole and checked when it has its name, or to the standard output. */
export async function download(
  context: CommandContext,
  text: string,
  options: DownloadOptions,
): Promise<void> {
  const { notes, out, signal } = context;
  const isToOutput = options.output === '-';
  if (isToOutput && out.sink.isTTY === true) {
    throw new UsageError(
      'the bytes of an image are not for a terminal: say where to by -o FILE, or pipe it on',
    );
  }
  await withClient(context, options, async (client) => {
    const image = await findImage(client, text, signal);
    const path = options.output ?? fileNameFor(image);
    if (!isToOutput && options.force !== true && existsSync(path) && !isDevice(path)) {
      throw new CommandFailure(
        exitCodes.refused,
        `${path} is there already: give another one by -o, or --force`,
      );
    }
    const live = options.quiet === true ? undefined : new LiveLines(notes);
    const beganMs = performance.now();
    try {
      const result = await client.downloadImage(image.id, isToOutput ? process.stdout : path, {
        signal,
        ...(options.parallel === undefined ? {} : { parallel: options.parallel }),
        onProgress: (progress) => live?.draw(linesFor(image, progress, context)),
      });
      live?.end();
      const took = durationText(performance.now() - beganMs);
      const holes = result.holeBytes > 0 ? `, ${bytesText(result.holeBytes)} of holes skipped` : '';
      const where = isToOutput ? 'written' : `in ${path}`;
      notes.line(
        `${shownText(imageTitle(image))} is ${where}: ${bytesText(result.sizeBytes)}, ${bytesText(result.receivedBytes)} received in ${took}${holes}.`,
      );
      notes.line(`  sha256  ${result.sha256}, as it should be`);
    } catch (error) {
      live?.end();
      if (signal.aborted && !isToOutput && existsSync(`${path}.${image.id}.part`)) {
        notes.line('Stopped. What has come is kept; the same command goes on with it.');
      }
      throw error;
    } finally {
      live?.end();
    }
  });
}

function linesFor(
  image: Image,
  { step, doneBytes, sizeBytes, bytesPerSecond, holeBytes, waiting }: DownloadProgress,
  { notes }: CommandContext,
): string[] {
  const transfer = {
    step: step === 'checking' ? 'checking the sha256' : step,
    doneBytes,
    sizeBytes,
    bytesPerSecond,
    holeBytes,
    waiting:
      waiting === undefined
        ? undefined
        : { why: shownText(waiting.error.message), leftMs: waiting.untilMs - Date.now() },
  };
  return transferLines(shownText(imageTitle(image)), transfer, notes);
}

/** What is written to as a stream, such as /dev/null or a pipe, is not replaced. */
function isDevice(path: string): boolean {
  try {
    return !statSync(path).isFile();
  } catch {
    return false;
  }
}

/** A file in this folder that is called as the image is, whatever that is. */
export function fileNameFor(image: Pick<Image, 'id' | 'name' | 'diskFormat'>): string {
  const name = image.name
    .replaceAll(/[\p{Cc}\p{Cf}/\\:*?"<>|]/gu, '_')
    .replace(/^[.\s-]+/, '')
    .trim();
  const ending =
    image.diskFormat === Image_DiskFormat.UNSPECIFIED ? 'img' : diskFormatWord(image as Image);
  const base = name === '' ? image.id : name;
  return join(
    '.',
    base.toLowerCase().endsWith(`.${ending}`) ? base : `${base.slice(0, 200)}.${ending}`,
  );
}

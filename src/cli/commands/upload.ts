import { ImageSchema, type Image } from '../../client/exports.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import type { ExitCode } from '../exit-codes.ts';
import { bytesText, durationText } from '../output/amounts.ts';
import { recordFormat, recordText, type RecordFormat } from '../output/record-format.ts';
import { shownText } from '../output/shown-text.ts';
import type { UploadOptions } from '../uploads/upload-options.ts';
import { UploadScreen } from '../uploads/upload-screen.ts';
import { imageTitle } from '../words/image-words.ts';

/** Brings an image in: from a file, from the standard input, or by the service itself from an address. */
export async function upload(
  context: CommandContext,
  source: string,
  options: UploadOptions,
): Promise<ExitCode | void> {
  const format = recordFormat(ImageSchema, options);
  if (/^https?:\/\//i.test(source)) {
    const { importFrom } = await import('./import-from.ts');
    return importFrom(context, source, options, format);
  }
  return withClient(context, options, async (client, connection) => {
    const screen = new UploadScreen(context, options.quiet === true);
    try {
      if (source === '-') {
        const { uploadInput } = await import('../uploads/upload-input.ts');
        const image = await uploadInput(context, client, options, screen);
        screen.end();
        tellImage(context, image, format, screen);
        return;
      }
      const { uploadFile } = await import('../uploads/upload-file.ts');
      const image = await uploadFile(context, client, connection, source, options, screen);
      screen.end();
      tellImage(context, image, format, screen);
    } finally {
      screen.end();
    }
  });
}

/** Says what has become of an upload. */
function tellImage(
  { out }: CommandContext,
  image: Image,
  format: RecordFormat | undefined,
  screen: UploadScreen,
): void {
  if (format !== undefined) {
    out.write(recordText(format, ImageSchema, image));
    return;
  }
  const { sentBytes = 0, holeBytes = 0, resumes = 0 } = screen.last ?? {};
  const facts = [
    `${bytesText(sentBytes)} sent in ${durationText(screen.elapsedMs)}`,
    ...(holeBytes > 0 ? [`${bytesText(holeBytes)} of holes skipped`] : []),
    ...(resumes > 0 ? [`gone on ${resumes === 1 ? 'once' : `${resumes} times`}`] : []),
  ];
  out.line(
    `${shownText(imageTitle(image))} is active: ${bytesText(image.sizeBytes ?? 0n)}, ${facts.join(', ')}.`,
  );
  out.line(`  id      ${image.id}`);
  out.line(`  sha256  ${image.sha256}`);
}

import { Permits } from '../domain/permits.ts';
import { copyImage, type CopyImageParts } from './copy-image.ts';
import type { ImageApi } from './image-api.ts';
import { listImages, type ImageSelection } from './list-images.ts';
import type { MigrationReport } from './migration-report.ts';

/** What it takes to copy the images of a Glance. */
export interface MigrationParts extends Omit<CopyImageParts, 'earlier' | 'onSent'> {
  readonly selection: ImageSelection;
  /** How many images are copied at the same time. */
  readonly parallel: number;
  readonly report: MigrationReport;
  /** Told of each step. */
  readonly onProgress: (progress: MigrationProgress) => void;
}

/** How far it is. */
export interface MigrationProgress {
  readonly found: number;
  readonly done: number;
  readonly bytesSent: number;
}

/**
 * Copies the images that are meant. What goes wrong with one of them is told in the report, and the others go on.
 *
 * @throws Error where the target is no Darkroom; ApiFailure, an Error with a code: of the list of images; ReportFileError.
 */
export async function migrate(parts: MigrationParts): Promise<void> {
  const { source, target, selection, parallel, report, onProgress } = parts;
  await requireDarkroom(target);
  let progress: MigrationProgress = { found: 0, done: 0, bytesSent: 0 };
  const tell = (change: Partial<MigrationProgress>): void => {
    progress = { ...progress, ...change };
    onProgress(progress);
  };
  const copyParts = {
    ...parts,
    earlier: (id: string) => report.earlier(id),
    onSent: (bytes: number) => tell({ bytesSent: progress.bytesSent + bytes }),
  };
  const permits = new Permits(parallel);
  // All at first: where copying takes hours, a marker in the middle of a list may be deleted meanwhile.
  const images = await Array.fromAsync(listImages(source, selection));
  tell({ found: images.length });
  await Promise.all(
    images.map((image) =>
      permits.run(async () => {
        report.add(await copyImage(copyParts, image));
        tell({ done: progress.done + 1 });
      }),
    ),
  );
  report.write();
}

/** Another image service takes a part of an image for all of it. */
async function requireDarkroom(target: ImageApi): Promise<void> {
  try {
    await target.ask('GET', '/readyz');
  } catch (error) {
    throw new Error(
      `there is no Darkroom at ${target.url}, or it is not ready: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}

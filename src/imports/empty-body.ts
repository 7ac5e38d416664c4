import { inspectImage, type DeclaredFormat } from '../formats/inspect-image.ts';
import { SourceFailure } from './source-failure.ts';

/**
 * The failure of an import whose source has no bytes, of which nobody stated that: FORMAT_MISMATCH where
 * the format needs some, as most do, and SOURCE_EMPTY where nothing is as good as anything.
 */
export async function emptyBody(name: string, declared: DeclaredFormat): Promise<SourceFailure> {
  const nothing = { available: 0, isWhole: true, read: () => Promise.resolve(new Uint8Array()) };
  const inspection = await inspectImage(declared, nothing);
  const final = { mayPass: false };
  return inspection.kind === 'refused'
    ? new SourceFailure(inspection.reason, `${name} has no bytes. ${inspection.message}`, final)
    : new SourceFailure(
        'SOURCE_EMPTY',
        `${name} has no bytes. If that is what the image is, state total_size 0.`,
        final,
      );
}

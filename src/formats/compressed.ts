import { Permits } from '../domain/permits.ts';
import { BytesInMemory } from './bytes-in-memory.ts';
import { CompressionError } from './compression-error.ts';
import { decompress, type Compression } from './compression.ts';
import { inspectDisk, requireSignature } from './disk.ts';
import { ImageReader, maxInspectedBytes } from './image-reader.ts';
import { BytesMissing, mismatch, unsafe, type DeclaredFormat, type Refusal } from './inspection.ts';
import { refusalInside } from './refusal-inside.ts';
import { compressedFormats } from './signatures.ts';

/** They hold any format's headers, unless they were made not to. */
const usualPackedBytes = 1024 * 1024;

/** Decoders take memory and threads: however many images come at once, so many are looked into. */
const looks = new Permits(2);

/**
 * Inspects a compressed disk as far as its first bytes tell.
 *
 * @param maxPackedBytes how many compressed bytes are decompressed at most.
 * @returns the virtual size, if it is told there: of a format of which only the end tells it, it is not.
 * @throws Refusal; BytesMissing as long as it cannot be told.
 */
export async function inspectCompressed(
  { diskFormat, isUnpackedLater = false }: Pick<DeclaredFormat, 'diskFormat' | 'isUnpackedLater'>,
  image: ImageReader,
  maxPackedBytes = usualPackedBytes,
): Promise<number | undefined> {
  const compression = await requireSignature(image, compressedFormats);
  // Asked for before it is read in turn: bytes that are still to come must keep nobody waiting.
  const isAll = image.endsBefore(maxPackedBytes + 1);
  const packedBytes = isAll ? image.available : maxPackedBytes;
  if (packedBytes > image.available) {
    throw new BytesMissing(packedBytes);
  }
  const head = await looks.run(async () =>
    decompressHead(compression, await image.read(0, packedBytes), isAll),
  );
  if (head instanceof CompressionError) {
    if (head.problem === 'unsupported' || isUnpackedLater) {
      return undefined;
    }
    throw refusalOf(head, compression);
  }
  try {
    return await inspectDisk(diskFormat, new ImageReader(head));
  } catch (thrown) {
    if (thrown instanceof BytesMissing) {
      return undefined;
    }
    throw refusalInside(thrown, 'what is compressed in it');
  }
}

/** The first bytes of what is compressed, or why there are none. */
async function decompressHead(
  compression: Compression,
  packed: Uint8Array,
  isAll: boolean,
): Promise<BytesInMemory | CompressionError> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    const content = decompress(compression, inOnePiece(packed), isAll ? 'whole' : 'beginning');
    for await (const chunk of content) {
      chunks.push(chunk);
      length += chunk.byteLength;
      if (length > maxInspectedBytes) {
        return new BytesInMemory(Buffer.concat(chunks, maxInspectedBytes), false);
      }
    }
  } catch (thrown) {
    if (thrown instanceof CompressionError) {
      return thrown;
    }
    throw thrown;
  }
  return new BytesInMemory(Buffer.concat(chunks), isAll);
}

async function* inOnePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes;
}

function refusalOf({ problem }: CompressionError, compression: Compression): Refusal {
  switch (problem) {
    case 'cut short':
      return mismatch(
        'cut short',
        `it is cut short: its ${compression} stream goes on after its last byte. Upload the whole file`,
      );
    case 'beyond reason':
      return unsafe(
        `${compression} beyond reason`,
        `to decompress it takes more memory or time than any sound image needs. Compress it anew, with ${compression}'s usual settings`,
      );
    case 'damaged':
    case 'unsupported':
      return mismatch(
        `damaged ${compression}`,
        `its ${compression} stream is damaged. Upload the file again, or compress it anew`,
      );
  }
}

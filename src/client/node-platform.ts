import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { crc32c } from '@node-rs/crc32';
import { DarkroomError } from './calls/client-error.ts';
import type { Arithmetic } from './calls/platform.ts';
import type { OpenedSource } from './upload/upload-source.ts';

const zeros = Buffer.alloc(64 * 1024);

/** Machine code, as Node has it. */
export const nodeArithmetic: Arithmetic = {
  // The package asks for a Buffer, and takes any bytes.
  crc32c: (bytes) => crc32c(asBuffer(bytes)),
  sha256: () => {
    const hash = createHash('sha256');
    return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') };
  },
  allZeros: (bytes) => {
    for (let at = 0; at < bytes.length; at += zeros.length) {
      const part = bytes.subarray(at, at + zeros.length);
      if (zeros.compare(part, 0, part.length, 0, part.length) !== 0) {
        return false;
      }
    }
    return true;
  },
};

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

const readBytes = 1024 * 1024;

/**
 * Opens a file, a block device, or what can be read once only, such as a pipe.
 *
 * @throws DarkroomError SOURCE_UNREADABLE
 */
export async function openPath(path: string): Promise<OpenedSource> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    throw new DarkroomError('SOURCE_UNREADABLE', `${path} cannot be opened: ${String(cause)}`, {
      cause,
    });
  }
  const first = await file.stat({ bigint: true });
  if (first.isDirectory()) {
    await file.close();
    throw new DarkroomError('SOURCE_UNREADABLE', `${path} is a folder, not a file.`);
  }
  if (!first.isFile() && !first.isBlockDevice()) {
    const parts = createReadStream('', { fd: file, autoClose: false, highWaterMark: readBytes });
    return {
      kind: 'stream',
      parts,
      close: async () => {
        parts.destroy();
        await file.close();
      },
    };
  }
  const size = first.isFile() ? Number(first.size) : undefined;

  /** @throws DarkroomError SOURCE_CHANGED */
  async function requireUnchanged(): Promise<void> {
    const now = await file.stat({ bigint: true });
    if (first.isFile() && (now.size !== first.size || now.mtimeNs !== first.mtimeNs)) {
      throw new DarkroomError('SOURCE_CHANGED', `${path} was changed while it was read.`);
    }
  }

  return {
    kind: 'seekable',
    size,
    async *open(offset) {
      await requireUnchanged();
      for (let at = offset; ;) {
        const most = Math.min(readBytes - (at % readBytes), (size ?? Infinity) - at);
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(most), 0, most, at);
        if (bytesRead === 0) {
          break;
        }
        yield buffer.subarray(0, bytesRead);
        at += bytesRead;
      }
      await requireUnchanged();
    },
    close: () => file.close(),
  };
}

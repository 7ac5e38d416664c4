import type { Compression } from '@connectrpc/connect/protocol';
import { compressionBrotli, compressionGzip } from '@connectrpc/connect-node';

/** How messages may come and go compressed, where the client says so. */
export const acceptedCompression: Compression[] = [compressionGzip, compressionBrotli];

/** Smaller messages go as they are, in bytes. */
export const compressMinBytes = 1024;

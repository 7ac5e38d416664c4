import { gzipSync } from 'node:zlib';
import { as, inspectWhole } from './inspections.ts';

/**
 * A program: looks into a gzip that unpacks to 64 MiB a hundred times at once, and writes by how many bytes that let its
 * memory grow and what was found. In a process of its own, whose memory is that of nothing else.
 */
const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024), { level: 1 });
const declared = as('QCOW2', 'COMPRESSED');
await inspectWhole(declared, bomb);
const before = process.memoryUsage().rss;
const inspections = await Promise.all(
  Array.from({ length: 100 }, () => inspectWhole(declared, bomb)),
);
const grownBytes = process.memoryUsage().rss - before;
process.stdout.write(`${JSON.stringify({ grownBytes, inspections })}\n`);

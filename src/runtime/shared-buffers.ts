import { setFlagsFromString } from 'node:v8';

/**
 * Memory for the bytes of uploads that is used again and again. A buffer is read by other threads beside the event
 * loop, so it is neither copied for them nor moved to them, and it comes back when the last of them is done.
 *
 * A fresh buffer of 1 MiB is memory that the kernel gives page by page as it is written: filling fresh ones took 0.37 s
 * a GiB, filling used ones 0.05 (bench of 64 KiB pieces copied into 1 MiB).
 */

/** The smallest buffer. What is much smaller shares a page with others, and is copied. */
const leastBytes = 64 * 1024;
/** A page of memory, and a block of most file systems. */
const pageBytes = 4096;
/** The unit of WebAssembly's memory. */
const wasmPageBytes = 64 * 1024;

/** Not among Node's types, and not there in a V8 without a compiler. */
declare const WebAssembly: {
  readonly Memory: new (wish: {
    readonly address: 'i64';
    readonly initial: bigint;
    readonly maximum: bigint;
    readonly shared: true;
  }) => { readonly buffer: SharedArrayBuffer };
};
/**
 * Most that is kept, in use or not: two chunks of 1 MiB for each of 16 streams. Who comes when all is in use gets
 * memory of the ordinary kind, so that slow senders slow nobody down.
 */
const mostBytes = 32 * 1024 * 1024;
/** Buffers are let go when none was taken for so long. Sooner than V8 collects a process that has come to rest, 8 s. */
const restMs = 4000;

/**
 * Buffers that nobody uses, by their size; those used last are last, since they are still in the processor's caches. Sizes
 * that were used last are last, too.
 */
const idle = new Map<number, SharedArrayBuffer[]>();
/** Buffers that somebody uses. What is never given back goes with the garbage. */
const lent = new WeakSet<SharedArrayBuffer>();
/** Those that begin with a page. */
const inPages = new WeakSet<ArrayBufferLike>();
/** Bytes of all buffers that are kept. */
let keptBytes = 0;
/** Bytes of buffers that are not kept any more, and are memory all the same until V8 collects them. */
let droppedBytes = 0;
/** What a buffer counts for, and in which of the two counts. */
interface Account {
  readonly bytes: number;
  isDropped: boolean;
}
const accounts = new WeakMap<SharedArrayBuffer, Account>();
const gone = new FinalizationRegistry<Account>(({ bytes, isDropped }) => {
  if (isDropped) {
    droppedBytes -= bytes;
  } else {
    keptBytes -= bytes;
  }
});
/** Runs while buffers are idle. */
let rest: NodeJS.Timeout | undefined;
let wasUsed = false;

/**
 * A buffer with any content, used before or fresh, from this memory if there is room and else of the ordinary kind. Whoever
 * has it last may give it back, by `giveBack`.
 *
 * @param lead bytes that stand before what is to be stored, at most a page: where it can be, the byte after them lies at the
 *   beginning of a page, as writing past the page cache wants it.
 */
export function takeBuffer(bytes: number, lead = 0): Uint8Array {
  const size = sizeFor(bytes);
  wasUsed = true;
  const used = bytes < leastBytes / 2 ? undefined : idle.get(size)?.pop();
  if (used !== undefined) {
    lent.add(used);
    return new Uint8Array(used, pageBytes - lead, bytes);
  }
  if (bytes < leastBytes / 2 || !makeRoom(size)) {
    return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
  }
  const fresh = sharedMemory(size);
  keptBytes += size;
  const account: Account = { bytes: size, isDropped: false };
  accounts.set(fresh, account);
  gone.register(fresh, account);
  lent.add(fresh);
  return new Uint8Array(fresh, pageBytes - lead, bytes);
}

/** Whether the memory around `data` begins with a page, so that `byteOffset` tells where in a page its bytes lie. */
export function isInPages(data: Uint8Array): boolean {
  return inPages.has(data.buffer);
}

/**
 * Says that nobody uses a buffer of `takeBuffer` any more, of which `data` is any part: neither a thread nor a write
 * that is still under way. Other buffers are left alone.
 */
export function giveBack(data: Uint8Array): void {
  const { buffer } = data;
  if (buffer instanceof SharedArrayBuffer && lent.delete(buffer)) {
    const size = accounts.get(buffer)?.bytes ?? 0;
    const others = idle.get(size) ?? [];
    others.push(buffer);
    idle.delete(size);
    idle.set(size, others);
    rest ??= setTimeout(dropAtRest, restMs).unref();
  }
}

/**
 * Copies the bytes of `source` from `start` to `end` into `target`, at `targetStart`.
 *
 * `TypedArray.set` goes byte by byte where shared memory is not aligned as its source is: 0.52 s a GiB, in place of 0.03
 * by Node's own copy; which calls `set` itself where all of a source is asked for.
 */
export function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetStart: number,
): void {
  if (end > start) {
    const last = end - 1;
    Buffer.prototype.copy.call(source, target, targetStart, start, last);
    target[targetStart + last - start] = source[last] ?? 0;
  }
}

/** Chunks are powers of two; what stands before and after one in its message has a page each. */
function sizeFor(bytes: number): number {
  let size = leastBytes;
  while (size + pageBytes < bytes) {
    size *= 2;
  }
  return size + 2 * pageBytes;
}

/**
 * Shared memory that begins with a page, if there can be such: JavaScript tells nobody where a SharedArrayBuffer lies (which
 * is 16 bytes into a page, mostly), but WebAssembly's memories are pages. With addresses of 64 bits and without the traps
 * that stand for checks of bounds, which no code of ours needs, V8 reserves only what is asked for; else 8 GiB for each.
 */
function sharedMemory(bytes: number): SharedArrayBuffer {
  const pages = Math.ceil(bytes / wasmPageBytes);
  try {
    setFlagsFromString('--no-wasm-memory64-trap-handling');
    const size = { initial: BigInt(pages), maximum: BigInt(pages) };
    const { buffer } = new WebAssembly.Memory({ address: 'i64', ...size, shared: true });
    inPages.add(buffer);
    return buffer;
  } catch {
    return new SharedArrayBuffer(bytes);
  }
}

/**
 * Idle buffers of other sizes are let go, so that the memory is had by the sizes that are asked for. Their memory comes back
 * when V8 collects them, which may be long: half as many bytes a second were taken by a first upload with chunks of another
 * size, while it waited for that. So they may be there beside those that are kept, as many bytes once more.
 */
function makeRoom(size: number): boolean {
  for (const [idleSize, buffers] of idle) {
    const lacking = keptBytes + size - mostBytes;
    if (idleSize !== size && lacking > 0) {
      const droppable = Math.floor((mostBytes - droppedBytes) / idleSize);
      buffers.splice(0, Math.min(Math.ceil(lacking / idleSize), droppable)).forEach(drop);
    }
  }
  return keptBytes + size <= mostBytes;
}

function drop(buffer: SharedArrayBuffer): void {
  const account = accounts.get(buffer);
  if (account !== undefined) {
    account.isDropped = true;
    keptBytes -= account.bytes;
    droppedBytes += account.bytes;
  }
}

/**
 * A service without uploads needs no memory for them. But V8 does not count this memory, so that between uploads that come
 * now and then it may not be collected for long: no more than is kept is let go before some of it was.
 */
function dropAtRest(): void {
  rest = undefined;
  if (wasUsed) {
    wasUsed = false;
    rest = setTimeout(dropAtRest, restMs).unref();
    return;
  }
  for (const [size, buffers] of idle) {
    const droppable = Math.floor((mostBytes - droppedBytes) / size);
    buffers.splice(0, droppable).forEach(drop);
  }
}

const headerBytes = 512;
const checksumStart = 148;
const checksumEnd = 156;

/** Whether bytes begin with a tar header in the format ustar or GNU's (POSIX.1-2017, pax, "ustar Interchange Format"). */
export function isTarHeader(head: Uint8Array): boolean {
  if (head.byteLength < headerBytes) {
    return false;
  }
  const text = Buffer.from(head).toString('latin1');
  const written = /^ *([0-7]+)[ \0]/.exec(text.slice(checksumStart, checksumEnd));
  if (!text.startsWith('ustar', 257) || written?.[1] === undefined) {
    return false;
  }
  return checksum(head) === Number.parseInt(written[1], 8);
}

/** The sum of the header's bytes with the checksum itself taken as spaces. */
function checksum(header: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < headerBytes; at++) {
    sum += at >= checksumStart && at < checksumEnd ? 0x20 : (header[at] ?? 0);
  }
  return sum;
}

const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** A size for people: three digits, and the unit. */
export function bytesText(bytes: number | bigint): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  if (unit === 0) {
    return value === 1 ? '1 byte' : `${value} bytes`;
  }
  return `${value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0)} ${units[unit]}`;
}

/** A speed for people. @param rate bytes a second. */
export function rateText(rate: number): string {
  return `${bytesText(Math.round(rate))}/s`;
}

/** How long something took, in its two largest units. */
export function durationText(ms: number): string {
  if (ms < 999.5) {
    return ms < 0.5 ? '0 s' : `${Math.round(ms)} ms`;
  }
  const tenths = Math.round(ms / 100);
  if (tenths < 100) {
    return `${tenths / 10} s`;
  }
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) {
    return `${seconds} s`;
  }
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) {
    return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`;
  }
  const hours = Math.floor(minutes / 60);
  if (hours < 48) {
    return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  }
  return `${Math.floor(hours / 24)} days`;
}

/** How long something will still take: in seconds, as nobody knows better. */
export function remainingText(ms: number): string {
  return durationText(Math.max(1, Math.round(ms / 1000)) * 1000);
}

/** When something was, as one says it: `12 s ago`, `3 h ago`, `4 Nov`, `4 Nov 2025`. */
export function agoText(timeMs: number, nowMs: number): string {
  const seconds = Math.round((nowMs - timeMs) / 1000);
  if (seconds < 5) {
    return 'just now';
  }
  if (seconds < 60) {
    return `${seconds} s ago`;
  }
  if (seconds < 3600) {
    return `${Math.floor(seconds / 60)} min ago`;
  }
  if (seconds < 86_400) {
    return `${Math.floor(seconds / 3600)} h ago`;
  }
  const date = new Date(timeMs);
  const isThisYear = date.getFullYear() === new Date(nowMs).getFullYear();
  return date.toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'short',
    ...(isThisYear ? {} : { year: 'numeric' }),
  });
}

/** A time in full, in the reader's zone. */
export function timeText(timeMs: number): string {
  return new Date(timeMs).toLocaleString('en-GB', {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
}

/** How much of a whole, from 0 to 1; undefined where the whole is not known. */
export function shareOf(done: bigint, total: bigint | undefined): number | undefined {
  if (total === undefined) {
    return undefined;
  }
  // An empty image is whole as it is.
  return total === 0n ? 1 : Math.min(1, Number(done) / Number(total));
}

/** A share for people; never 100 % of what is not all. */
export function percentText(share: number): string {
  return `${share >= 1 ? 100 : Math.min(99, Math.floor(share * 100))} %`;
}

/** `1 fault`, `2 faults`. */
export function countText(count: number, one: string, many: string = `${one}s`): string {
  return `${count.toLocaleString('en-GB')} ${count === 1 ? one : many}`;
}

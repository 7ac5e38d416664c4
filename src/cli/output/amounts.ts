const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** A number of bytes for people: `12 B`, `3.4 MiB`. */
export function bytesText(bytes: number | bigint): string {
  let count = Number(bytes);
  let step = 0;
  // 1023.96 would be shown as 1024.0.
  while (count >= 1023.95 && step < units.length - 1) {
    count /= 1024;
    step += 1;
  }
  return `${step === 0 ? Math.round(count) : count.toFixed(1)} ${units[step]}`;
}

/** How much of a whole, in percent without a fraction; never 100 before it is all. */
export function percentText(part: number, whole: number): string {
  const percent = whole === 0 ? 100 : Math.floor((part / whole) * 100);
  return `${Math.min(100, percent)} %`;
}

/** A length of time for people, in its two largest units: `850 ms`, `42 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`. */
export function durationText(ms: number): string {
  if (ms < 1000) {
    return `${Math.max(0, Math.round(ms))} ms`;
  }
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) {
    return `${seconds} s`;
  }
  const [large, small, largeUnit, smallUnit] =
    seconds < 3600
      ? [Math.floor(seconds / 60), seconds % 60, 'min', 's']
      : seconds < 86_400
        ? [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), 'h', 'min']
        : [Math.floor(seconds / 86_400), Math.floor((seconds % 86_400) / 3600), 'd', 'h'];
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}

/** How long ago something was, in one unit, for tables: `now`, `42 s`, `3 min`, `5 h`, `12 d`. */
export function ageText(time: Date, now: Date): string {
  const seconds = Math.floor((now.getTime() - time.getTime()) / 1000);
  if (seconds < 2) {
    return 'now';
  }
  return seconds < 60
    ? `${seconds} s`
    : seconds < 3600
      ? `${Math.floor(seconds / 60)} min`
      : seconds < 86_400
        ? `${Math.floor(seconds / 3600)} h`
        : `${Math.floor(seconds / 86_400)} d`;
}

/** A time of day and its date where the reader is: `2026-11-27 04:20:11`. */
export function timeText(time: Date): string {
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clockText(time)}`;
}

/** A time of day where the reader is: `04:20:11`. */
export function clockText(time: Date): string {
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}

const two = (count: number): string => String(count).padStart(2, '0');

/** What setTimeout takes; it fires at once for more. In ms, 24.8 days. */
export const longestTimerMs = 2 ** 31 - 1;

/** The units of grpc-timeout that can be too long, in ms. */
const timeoutUnitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1 };

/** A client's timeout that is longer than a timer can be would end the call at once: it is as good as none. */
export function dropEndlessTimeout(header: Headers): void {
  const [, value, unit = ''] = /^(\d+)([HMSm])$/.exec(header.get('grpc-timeout') ?? '') ?? [];
  if (Number(value) * (timeoutUnitMs[unit] ?? 0) > longestTimerMs) {
    header.delete('grpc-timeout');
  }
  if (Number(header.get('connect-timeout-ms')) > longestTimerMs) {
    header.delete('connect-timeout-ms');
  }
}

import { timestampMs, type Timestamp } from '@bufbuild/protobuf/wkt';
import { now } from '../service/clock.ts';
import { agoText, timeText } from '../words/amounts.ts';

/** When something was, as one says it; in full for who points at it. */
export function Moment({ time }: { readonly time: Timestamp | undefined }) {
  if (time === undefined) {
    return null;
  }
  const ms = timestampMs(time);
  return (
    <time dateTime={new Date(ms).toISOString()} title={timeText(ms)}>
      {agoText(ms, now.value)}
    </time>
  );
}

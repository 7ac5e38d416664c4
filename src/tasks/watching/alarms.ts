import { wakeInTurns, type Wakeable } from './wakes.ts';

/** Who can be woken at a time. */
export interface Sleeper extends Wakeable {
  /** Of `wakeAt` and `forgetAlarm` alone. */
  alarm: Alarm | undefined;
}

/** One timer of Node for all who are to be woken in the same 10 ms. */
export interface Alarm {
  readonly tick: number;
  readonly timer: NodeJS.Timeout;
  readonly sleepers: Set<Sleeper>;
}

const tickMs = 10;

const alarms = new Map<number, Alarm>();

/**
 * Wakes somebody when `performance.now()` reaches a time, or before: an alarm that is set is never put off, since nearly
 * all are for a heartbeat, which each message puts off. Who is woken too early sets the next.
 */
export function wakeAt(sleeper: Sleeper, time: number): void {
  const tick = Math.ceil(time / tickMs);
  if (sleeper.alarm !== undefined && sleeper.alarm.tick <= tick) {
    return;
  }
  forgetAlarm(sleeper);
  const alarm = alarms.get(tick) ?? setAlarm(tick);
  alarm.sleepers.add(sleeper);
  sleeper.alarm = alarm;
}

/** Does not wake somebody any more, unless for another reason. */
export function forgetAlarm(sleeper: Sleeper): void {
  const { alarm } = sleeper;
  if (alarm === undefined) {
    return;
  }
  sleeper.alarm = undefined;
  alarm.sleepers.delete(sleeper);
  if (alarm.sleepers.size === 0 && alarms.get(alarm.tick) === alarm) {
    clearTimeout(alarm.timer);
    alarms.delete(alarm.tick);
  }
}

function setAlarm(tick: number): Alarm {
  const sleepers = new Set<Sleeper>();
  const ring = (): void => {
    alarms.delete(tick);
    for (const sleeper of sleepers) {
      sleeper.alarm = undefined;
    }
    wakeInTurns(sleepers);
  };
  const timer = setTimeout(ring, Math.max(0, Math.ceil(tick * tickMs - performance.now())));
  const alarm = { tick, timer, sleepers };
  alarms.set(tick, alarm);
  return alarm;
}

import type { Fault } from '../../../gen/darkroom/v1/fault_pb.ts';
import { Fault_Origin } from '../../../gen/darkroom/v1/fault_pb.ts';
import type { Task_Type } from '../../../gen/darkroom/v1/task_pb.ts';
import { adviceFor } from '../words/advice.ts';
import { bytesText } from '../words/amounts.ts';
import { phaseWord } from '../words/task-words.ts';
import { Moment } from './moment.tsx';

/** A fault as a person wants to read it: what happened, when and where, and what to do now. */
export function FaultNote({ fault, type }: { readonly fault: Fault; readonly type: Task_Type }) {
  const phase = phaseWord(fault.phase);
  return (
    <article class={fault.fatal ? 'fault fault-fatal' : 'fault'}>
      <header>
        <span class="reason">{fault.reason}</span>
        <span class="fault-kind">{fault.fatal ? 'ended the task' : 'survived'}</span>
        <Moment time={fault.createTime} />
      </header>
      <p class="fault-message">{fault.message}</p>
      <p class="fault-place">
        {[
          `at ${bytesText(fault.offset)} stored`,
          phase === '' ? '' : `while ${phase}`,
          fault.origin === Fault_Origin.PRODUCER ? 'reported by the sender' : '',
          fault.host === '' ? '' : `on ${fault.host}`,
        ]
          .filter((part) => part !== '')
          .join(' · ')}
      </p>
      <p class="fault-advice">{adviceFor(fault, type)}</p>
      {fault.detail !== '' && (
        <details>
          <summary>Cause, for operators</summary>
          <pre>{fault.detail}</pre>
        </details>
      )}
    </article>
  );
}

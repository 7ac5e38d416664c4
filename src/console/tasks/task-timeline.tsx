import { useEffect, useRef, useState } from 'preact/hooks';
import type { Task, TaskEvent } from '../../../gen/darkroom/v1/task_pb.ts';
import { now } from '../service/clock.ts';
import { bytesText, durationText, countText } from '../words/amounts.ts';
import { isLive, phaseWord, stateWord } from '../words/task-words.ts';
import { ticksOf, timelineOf, type Span } from './timeline-shape.ts';

const lane = { height: 22, gap: 12 };
const chartHeight = 64;
const labelWidth = 78;

/** A task's life, drawn: states, phases, writers, faults, and the bytes that were safe by then. */
export function TaskTimeline({
  task,
  events,
}: {
  readonly task: Task;
  readonly events: readonly TaskEvent[];
}) {
  const [element, width] = useWidth();
  const timeline = timelineOf(task, events, isLive(task.state) ? now.value : 0);
  const { fromMs, toMs, states, phases, writers, faults, bytes } = timeline;
  const from = width < 480 ? 0 : labelWidth;
  const inner = Math.max(1, width - from - 14);
  const x = (timeMs: number): number => from + ((timeMs - fromMs) / (toMs - fromMs)) * inner;

  const lanes = [
    {
      name: 'State',
      spans: states.map((span) => {
        const [word, tone] = stateWord(span.what);
        return boxOf(span, x, word, `tone-${tone}`);
      }),
    },
    {
      name: 'Phase',
      spans: phases.map((span) => boxOf(span, x, phaseWord(span.what), 'tone-phase')),
    },
    {
      name: 'Writers',
      spans: writers.map((span) => {
        const { number, isLost } = span.what;
        return boxOf(span, x, `writer ${number}`, isLost ? 'tone-lost' : 'tone-writer');
      }),
    },
  ].filter(({ spans }) => spans.length > 0);

  const isLabelled = from > 0;
  const laneStep = lane.height + lane.gap + (isLabelled ? 0 : 14);
  const lanesTop = isLabelled ? 6 : 16;
  const chartTop = lanesTop + lanes.length * laneStep + (isLabelled ? 0 : 2);
  const axisTop = chartTop + chartHeight;
  const height = axisTop + 26;
  const most = Math.max(
    1,
    Number(task.progress?.bytesTotal ?? 0n),
    ...bytes.map((point) => point.bytes),
  );
  const y = (amount: number): number => axisTop - (amount / most) * (chartHeight - 8);
  // Committed bytes are told with events, and lie on a straight way between them.
  const line = bytes.map(({ timeMs, bytes: amount }) => `${x(timeMs)},${y(amount)}`).join(' ');

  return (
    <div ref={element} class="timeline">
      {width > 0 && (
        <svg
          width={width}
          height={height}
          viewBox={`0 0 ${width} ${height}`}
          role="img"
          aria-label={inWords(task, timeline)}
        >
          {lanes.map(({ name, spans }, index) => {
            const top = lanesTop + index * laneStep;
            return (
              <g key={name}>
                <LaneName name={name} top={top} isBeside={isLabelled} />
                {spans.map((span) => (
                  <SpanBox key={span.from} {...span} top={top} />
                ))}
              </g>
            );
          })}
          <LaneName name="Bytes" top={chartTop + 8} isBeside={isLabelled} />
          <text
            class="timeline-time"
            x={isLabelled ? 0 : 44}
            y={isLabelled ? chartTop + lane.height + 28 : chartTop + 3}
          >
            {bytesText(most)}
          </text>
          <polygon
            class="timeline-area"
            points={`${x(fromMs)},${axisTop} ${line} ${x(bytes.at(-1)?.timeMs ?? toMs)},${axisTop}`}
          />
          <polyline class="timeline-line" points={line} />
          <line class="timeline-axis" x1={from} x2={from + inner} y1={axisTop} y2={axisTop} />
          {ticksOf(toMs - fromMs, Math.max(2, Math.floor(inner / 110))).map((ms) => (
            <g key={ms}>
              <line
                class="timeline-tick"
                x1={x(fromMs + ms)}
                x2={x(fromMs + ms)}
                y1={axisTop}
                y2={axisTop + 5}
              />
              <text
                class="timeline-time"
                x={x(fromMs + ms)}
                y={axisTop + 19}
                text-anchor={ms === 0 ? 'start' : x(fromMs + ms) > width - 40 ? 'end' : 'middle'}
              >
                {ms === 0 ? '0' : durationText(ms)}
              </text>
            </g>
          ))}
          {faults.map(({ timeMs, fault }) => (
            <g key={fault.id} class={fault.fatal ? 'timeline-fault fatal' : 'timeline-fault'}>
              <title>{`${fault.reason}: ${fault.message}`}</title>
              <line x1={x(timeMs)} x2={x(timeMs)} y1={lanesTop - 4} y2={axisTop} />
              <circle cx={x(timeMs)} cy={axisTop} r={5} />
            </g>
          ))}
        </svg>
      )}
    </div>
  );
}

interface Box {
  readonly from: number;
  readonly to: number;
  readonly text: string;
  readonly look: string;
}

/** About how wide a letter is, in px. */
const letterWidth = 6.6;

function SpanBox({ from, to, text, look, top }: Box & { readonly top: number }) {
  const width = Math.max(3, to - from - 2);
  const fits = text.length * letterWidth + 14 < width;
  return (
    <g class={`timeline-span ${look}`}>
      <title>{text}</title>
      <rect x={from} y={top} width={width} height={lane.height} rx={Math.min(5, width / 2)} />
      {fits && (
        <text x={from + 8} y={top + lane.height / 2 + 4}>
          {text}
        </text>
      )}
    </g>
  );
}

function LaneName({
  name,
  top,
  isBeside,
}: {
  readonly name: string;
  readonly top: number;
  readonly isBeside: boolean;
}) {
  return (
    <text class="timeline-name" x={0} y={isBeside ? top + lane.height / 2 + 4 : top - 5}>
      {name}
    </text>
  );
}

function boxOf(
  { fromMs, toMs }: Span<unknown>,
  x: (timeMs: number) => number,
  text: string,
  look: string,
): Box {
  return { from: x(fromMs), to: x(toMs), text, look };
}

/** The same for who cannot see it; what happened when is in the list below, too. */
function inWords(task: Task, { fromMs, toMs, writers, faults }: ReturnType<typeof timelineOf>) {
  return [
    `Timeline of ${durationText(toMs - fromMs)}: ${stateWord(task.state)[0]}`,
    `${bytesText(task.progress?.bytesDone ?? 0n)} stored`,
    countText(faults.length, 'fault'),
    ...(writers.length > 0 ? [countText(writers.length, 'writer')] : []),
  ].join(', ');
}

function useWidth() {
  const element = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const { current } = element;
    if (current === null) {
      return undefined;
    }
    const observer = new ResizeObserver(() => setWidth(current.clientWidth));
    observer.observe(current);
    return () => observer.disconnect();
  }, []);
  return [element, width] as const;
}

import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Connection } from './connection.ts';
import { Deployment } from './deployment.ts';
import { inspectBytes, type KeptImage } from './image-inspection.ts';
import { Journal, type Tally } from './journal.ts';
import { Random } from './random.ts';
import { playRound, type RoundOutcome } from './round.ts';
import { inspectStore, survivedFaults } from './store-inspection.ts';
import { tableHead, tableRow } from './table.ts';

/** The first ones tell; all of them are in the story. */
const shownViolations = 20;

/** What a run is. */
export interface ChaosOptions {
  readonly rounds: number;
  readonly seed: string;
  /** Clients that upload at the same time. */
  readonly clients: number;
  /** Service processes: 1 with the embedded PostgreSQL, more on one PostgreSQL and one folder. */
  readonly processes: number;
  /** The largest image. */
  readonly imageBytes: number;
  /** The first round's number, to repeat only a later one. */
  readonly from: number;
  readonly print: (line: string) => void;
  /** Fires when the run is to be given up. */
  readonly signal?: AbortSignal;
}

/** How a run ended. */
export interface ChaosVerdict {
  readonly rounds: number;
  /** Broken promises; empty if the service stood it. */
  readonly violations: readonly string[];
  readonly blows: Tally;
  readonly uploads: number;
  readonly counts: Tally;
  /** Where the logs and the data are kept; undefined if there is nothing to look for. */
  readonly keptIn: string | undefined;
}

/** Plays the rounds until one goes wrong, looks at everything once more, and prints the table. */
export async function runChaos(options: ChaosOptions): Promise<ChaosVerdict> {
  const { rounds, seed, print, from } = options;
  const random = new Random(seed);
  let journal = new Journal();
  const deployment = await Deployment.start({
    processes: options.processes,
    random: random.fork('deployment'),
    violate: (sentence) => journal.violate(sentence),
    note: (line) => journal.note(line),
  });
  options.signal?.addEventListener('abort', () => {
    void deployment.abandon().then(() => deployment.remove());
  });
  const story = createWriteStream(join(deployment.folder, 'story.log'));
  const sum = { journal: new Journal(), uploads: 0, bytes: 0, ms: 0 };
  const kept: KeptImage[] = [];
  let faults = new Map<string, number>();
  let played = 0;
  try {
    print(tableHead());
    for (let round = from; round < from + rounds && sum.journal.violations.length === 0; round++) {
      journal = new Journal((line) => story.write(`${round} ${line}\n`));
      const begun = performance.now();
      const outcome = await playSafely(
        () =>
          playRound({
            ...options,
            deployment,
            random: random.fork(`round ${round}`),
            journal,
            name: `round-${round}`,
            maxImageBytes: options.imageBytes,
            kept,
          }),
        journal,
      );
      const total = await survivedFaults(deployment).catch(() => faults);
      const row = {
        ...outcome,
        round: String(round),
        journal,
        survived: difference(total, faults),
        ms: performance.now() - begun,
      };
      faults = total;
      print(tableRow(row));
      played += 1;
      sum.uploads += outcome.uploads;
      sum.bytes += outcome.bytes;
      sum.ms += row.ms;
      addTo(sum.journal, journal);
    }
    journal = new Journal((line) => story.write(`end ${line}\n`));
    await playSafely(async () => {
      await lookAtEverything(deployment, kept, random, journal);
      await deployment.stop();
      return { uploads: 0, bytes: 0 };
    }, journal);
    addTo(sum.journal, journal);
    print(tableRow({ ...sum, round: 'sum', survived: faults }));
  } finally {
    await deployment.abandon();
    await new Promise((resolve) => story.end(resolve));
  }
  const { violations, blows, counts } = sum.journal;
  if (violations.length === 0) {
    await deployment.remove();
  }
  print(
    `clients: ${counts
      .entries()
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')}`,
  );
  print(
    `time: ${sum.journal.spent
      .entries()
      .map(([part, ms]) => `${part} ${(ms / 1000).toFixed(1)} s`)
      .join(
        ', ',
      )}; CPU of the clients ${((process.cpuUsage().user + process.cpuUsage().system) / 1e6).toFixed(1)} s`,
  );
  for (const violation of violations.slice(0, shownViolations)) {
    print(`VIOLATION ${violation}`);
  }
  print(
    violations.length === 0
      ? `${played} rounds with ${options.processes} process(es) passed, seed ${seed}`
      : `FAILED in round ${from + played - 1}: ${violations.length} violations. Repeat: npm run chaos -- --seed ${seed} ` +
          `--processes ${options.processes} --clients ${options.clients} --image-bytes ${options.imageBytes} --rounds ${played}. ` +
          `Logs: ${deployment.folder}`,
  );
  return {
    rounds: played,
    violations,
    blows,
    counts,
    uploads: sum.uploads,
    keptIn: violations.length === 0 ? undefined : deployment.folder,
  };
}

/** At the end of all: every image that was ever kept, and the store as a whole. */
async function lookAtEverything(
  deployment: Deployment,
  kept: readonly KeptImage[],
  random: Random,
  journal: Journal,
): Promise<void> {
  await deployment.untilReady();
  const connection = new Connection(random.pick(deployment.services).url);
  try {
    for (const image of kept) {
      for (const problem of await inspectBytes(connection, image, random)) {
        journal.violate(`${image.name}, at the end: ${problem}`);
      }
    }
  } finally {
    connection.cut();
  }
  for (const problem of await inspectStore(deployment)) {
    journal.violate(`at the end: ${problem}`);
  }
}

async function playSafely(
  play: () => Promise<RoundOutcome>,
  journal: Journal,
): Promise<RoundOutcome> {
  try {
    return await play();
  } catch (error) {
    journal.violate(`the round broke off: ${error instanceof Error ? error.stack : String(error)}`);
    return { uploads: 0, bytes: 0 };
  }
}

function addTo(sum: Journal, journal: Journal): void {
  sum.violations.push(...journal.violations);
  sum.blows.addAll(journal.blows);
  sum.counts.addAll(journal.counts);
  sum.spent.addAll(journal.spent);
}

function difference(
  total: ReadonlyMap<string, number>,
  before: ReadonlyMap<string, number>,
): Map<string, number> {
  return new Map(
    [...total]
      .map(([reason, count]) => [reason, count - (before.get(reason) ?? 0)] as const)
      .filter(([, count]) => count > 0),
  );
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment } from './deployment.ts';
import type { Journal } from './journal.ts';
import { strikeSession } from './postgres-victim.ts';
import type { Random } from './random.ts';
import type { ServiceRunner } from './service-runner.ts';

/** What is done to the service. */
type Blow =
  /** SIGKILL of a service process. */
  | 'kill'
  /** SIGTERM of a service process. */
  | 'term'
  /** SIGSTOP of a service process, and SIGCONT a little later. */
  | 'freeze'
  /** SIGSTOP for so long that another process takes it for lost, and SIGCONT: a writer that is back from the dead. */
  | 'coma'
  /** SIGKILL of PostgreSQL, with all its processes. */
  | 'database'
  /** SIGKILL of one process of PostgreSQL that serves a session: all sessions are lost. */
  | 'session'
  /** One session is ended. */
  | 'connection'
  /** SIGKILL of all service processes and of PostgreSQL. */
  | 'both'
  | StartBlow
  | StopBlow;

/** A service process is killed, and while its successor starts, that one or PostgreSQL gets it. */
type StartBlow = 'start kill' | 'start term' | 'start db';

/** A service process is told to stop, and while it does, it or PostgreSQL gets it. */
type StopBlow = 'stop kill' | 'stop term' | 'stop db';

/** All blows, in the order in which tables show them. */
export const blows: readonly Blow[] = [
  'kill',
  'term',
  'freeze',
  'coma',
  'database',
  'session',
  'connection',
  'both',
  'start kill',
  'start term',
  'start db',
  'stop kill',
  'stop term',
  'stop db',
];

/** A start, or a stop, is hit at a moment up to so many times as late as it usually takes. */
const overshoot = 1.2;
/** A successor that is not there by then is not waited for, in ms. */
const successorMs = 5000;

/** Strikes the service at moments that the seed and the clients' doings choose. */
export class Saboteur {
  readonly #deployment: Deployment;
  readonly #random: Random;
  readonly #journal: Journal;

  constructor(deployment: Deployment, random: Random, journal: Journal) {
    this.#deployment = deployment;
    this.#random = random;
    this.#journal = journal;
  }

  /** Strikes a few times, until the signal fires; what it froze runs again when it is done. */
  async run(over: AbortSignal): Promise<void> {
    const random = this.#random;
    const count = random.int(1, 4);
    for (let blow = 0; blow < count && !over.aborted; blow++) {
      await this.#awaitMoment(over);
      if (over.aborted) {
        return;
      }
      await this.#strike(
        random.weighted<Blow>([
          [8, 'kill'],
          [3, 'term'],
          [2, 'freeze'],
          [this.#deployment.services.length > 1 ? 0.4 : 0, 'coma'],
          [3, 'database'],
          [1, 'session'],
          [2, 'connection'],
          [2, 'both'],
          [2, 'start kill'],
          [2, 'start term'],
          [3, 'start db'],
          [1, 'stop kill'],
          [0.5, 'stop term'],
          [1, 'stop db'],
        ]),
      );
    }
  }

  /** Any moment; or one about a finish, when an upload is checked and published. */
  async #awaitMoment(over: AbortSignal): Promise<void> {
    const random = this.#random;
    if (random.chance(0.4)) {
      await Promise.race([this.#journal.nextFinish(over), sleep(2000)]);
      await sleep(random.int(0, 60));
    } else {
      await sleep(random.int(20, 900));
    }
  }

  async #strike(drawn: Blow): Promise<void> {
    const random = this.#random;
    const deployment = this.#deployment;
    const blow = hitsDatabase.has(drawn) && deployment.databaseIsExhausted ? 'both' : drawn;
    const service = random.pick(deployment.services);
    this.#journal.note(`BLOW ${blow} (${service.name}, pid ${service.pid})`);
    if (await this.#land(blow, service)) {
      this.#journal.blows.add(blow);
    }
  }

  /** Answers whether there was something to strike. */
  async #land(blow: Blow, service: ServiceRunner): Promise<boolean> {
    const random = this.#random;
    const deployment = this.#deployment;
    switch (blow) {
      case 'kill':
        return service.strike('SIGKILL');
      case 'term':
        return service.strike('SIGTERM');
      case 'freeze':
        return await freeze(service, random.int(100, 1200));
      case 'coma':
        return await freeze(service, random.int(11_000, 14_000));
      case 'database':
        await deployment.killDatabase(this.#outageMs());
        return true;
      case 'session':
        return await strikeSession(deployment.cluster, random, 'SIGKILL');
      case 'connection':
        return await strikeSession(deployment.cluster, random, 'SIGTERM');
      case 'both':
        for (const each of deployment.services) {
          each.strike('SIGKILL');
        }
        await deployment.killDatabase(this.#outageMs());
        return true;
      case 'start kill':
      case 'start term':
      case 'start db': {
        const { starts } = service;
        service.strike('SIGKILL');
        return (
          (await service.untilStarting(starts, successorMs)) &&
          (await this.#hitStart(blow, service))
        );
      }
      case 'stop kill':
      case 'stop term':
      case 'stop db':
        return service.strike('SIGTERM') && (await this.#hitStop(blow, service));
    }
  }

  /** Mostly PostgreSQL is back at once; now and then a start has to wait for it. */
  #outageMs(): number {
    const random = this.#random;
    return random.chance(0.2) ? random.int(1000, 2500) : random.int(0, 300);
  }

  async #hitStart(blow: StartBlow, service: ServiceRunner): Promise<boolean> {
    const random = this.#random;
    await sleep(random.next() * overshoot * service.usualStart.ms);
    switch (blow) {
      case 'start kill':
        return service.strike('SIGKILL');
      case 'start term':
        return service.strike('SIGTERM');
      case 'start db':
        await this.#deployment.killDatabase(this.#outageMs());
        return true;
    }
  }

  async #hitStop(blow: StopBlow, service: ServiceRunner): Promise<boolean> {
    const random = this.#random;
    await sleep(random.next() * overshoot * service.usualStop.ms);
    switch (blow) {
      case 'stop kill':
        return service.strike('SIGKILL');
      case 'stop term':
        return service.strikeAgain();
      case 'stop db':
        await this.#deployment.killDatabase(this.#outageMs());
        return true;
    }
  }
}

/** Those that are others where PostgreSQL was killed so often that its service takes its time to start it again. */
const hitsDatabase: ReadonlySet<Blow> = new Set(['database', 'start db', 'stop db']);

async function freeze(service: ServiceRunner, ms: number): Promise<boolean> {
  const isFrozen = service.strike('SIGSTOP');
  if (isFrozen) {
    await sleep(ms);
    service.strike('SIGCONT');
  }
  return isFrozen;
}

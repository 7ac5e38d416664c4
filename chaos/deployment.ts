import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { clusterPaths, ROLE } from '../src/database/embedded-postgres/cluster.ts';
import { connectionStringFor } from '../src/database/embedded-postgres/connection.ts';
import { postgresProcessesOf } from '../src/database/embedded-postgres/postmaster-pid.ts';
import { stopLeftovers } from '../src/database/embedded-postgres/postmaster.ts';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../src/database/embedded-postgres.ts';
import { killServer } from './postgres-victim.ts';
import type { Random } from './random.ts';
import { ServiceRunner } from './service-runner.ts';

/** Blows may hit a PostgreSQL that is just starting, but not so many. */
const maxDatabaseStarts = 10;

/** How long PostgreSQL may take to be back, in ms. */
const databaseReturnMs = 60_000;

/** How to deploy the service for a run. */
export interface DeploymentOptions {
  /** 1: with the embedded PostgreSQL. More: with one PostgreSQL and one folder for all. */
  readonly processes: number;
  readonly random: Random;
  readonly violate: (sentence: string) => void;
  readonly note: (line: string) => void;
}

/** The service as it runs: its processes, its database, its folder. */
export class Deployment {
  /** The folder of all that the run leaves. */
  readonly folder: string;
  readonly services: readonly ServiceRunner[];
  readonly #options: DeploymentOptions;
  /** The database's data directory. */
  readonly cluster: string;
  /** The PostgreSQL of several processes; an embedded one is the service's own. */
  #postgres: EmbeddedPostgres | undefined;
  #databaseWork: Promise<void> = Promise.resolve();
  #embeddedKills = 0;
  #embeddedStarts = 0;

  private constructor(folder: string, ports: readonly number[], options: DeploymentOptions) {
    this.folder = folder;
    this.#options = options;
    const { random, violate, note } = options;
    this.cluster = clusterPaths(
      options.processes === 1 ? this.#dataDir : this.#databaseDir,
    ).cluster;
    this.services = ports.map(
      (port, index) =>
        new ServiceRunner({
          name: ports.length === 1 ? 'service' : `service ${'AB'[index] ?? index}`,
          port,
          logPath: join(folder, `service-${index}.log`),
          env: () => this.#environment(random),
          restartDelayMs: () => random.int(0, 200),
          violate,
          note,
        }),
    );
  }

  /** Starts it, and waits until all of it is ready. */
  static async start(options: DeploymentOptions): Promise<Deployment> {
    const folder = await mkdtemp(join(tmpdir(), 'darkroom-chaos-'));
    const ports: number[] = [];
    while (ports.length < options.processes) {
      const port = await freePort();
      if (!ports.includes(port)) {
        ports.push(port);
      }
    }
    const deployment = new Deployment(folder, ports, options);
    if (options.processes > 1) {
      await deployment.#startDatabase();
    }
    for (const service of deployment.services) {
      service.start();
    }
    await deployment.untilReady();
    return deployment;
  }

  /** The folder of the segments. */
  get blobFolder(): string {
    return join(this.#dataDir, 'blobs');
  }

  /** Resolves when the database and all processes are ready. @throws if the database does not come back in a minute. */
  async untilReady(): Promise<void> {
    await this.#databaseWork;
    await Promise.all(this.services.map((service) => service.untilReady()));
    // A blow that was meant for a start may hit an embedded one under a service that is ready by then.
    const deadline = performance.now() + databaseReturnMs;
    while (!(await this.#databaseAnswers(performance.now() > deadline))) {
      await sleep(50);
    }
  }

  async #databaseAnswers(isLate: boolean): Promise<boolean> {
    const client = new pg.Client({ connectionString: await this.databaseUrl() });
    client.on('error', () => {});
    try {
      await client.connect();
      return true;
    } catch (error) {
      if (isLate) {
        throw error;
      }
      return false;
    } finally {
      await client.end().catch(() => {});
    }
  }

  /** Where to look into the database directly. */
  async databaseUrl(): Promise<string> {
    const password = await readFile(join(this.cluster, 'darkroom.password'), 'utf8');
    return connectionStringFor(this.cluster, password.trim(), ROLE);
  }

  /**
   * Whether the embedded PostgreSQL has been killed so often since its service started that the service
   * takes its time to start it again.
   */
  get databaseIsExhausted(): boolean {
    const [service] = this.services;
    if (this.#postgres || !service) {
      return false;
    }
    if (this.#embeddedStarts !== service.starts) {
      this.#embeddedStarts = service.starts;
      this.#embeddedKills = 0;
    }
    return this.#embeddedKills >= 3;
  }

  /** Kills PostgreSQL with all its processes. It is started again: by its service, or here. */
  async killDatabase(restartDelayMs: number): Promise<void> {
    this.#embeddedKills += 1;
    await killServer(this.cluster);
    if (this.#postgres) {
      this.#databaseWork = this.#databaseWork.then(() => this.#restartDatabase(restartDelayMs));
    }
  }

  /** Stops all, and tells what is left of it that should not be. */
  async stop(): Promise<void> {
    const { violate } = this.#options;
    await Promise.all(this.services.map((service) => service.stop()));
    await this.#databaseWork;
    await this.#postgres?.stop();
    for (const pid of await postgresProcessesOf(this.cluster)) {
      violate(`PostgreSQL process ${pid} is left after the stop`);
    }
    for (const pid of await serviceProcessesOf(this.#dataDir)) {
      violate(`service process ${pid} is left after the stop`);
    }
    await stopLeftovers(this.cluster);
  }

  /** Cuts all off, however it stands, as when the run is interrupted. */
  async abandon(): Promise<void> {
    for (const service of this.services) {
      service.abandon();
    }
    await this.#databaseWork;
    await this.#postgres?.stop().catch(() => {});
    await stopLeftovers(this.cluster).catch(() => {});
  }

  /** Removes everything. */
  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  get #dataDir(): string {
    return join(this.folder, 'data');
  }

  get #databaseDir(): string {
    return join(this.folder, 'database');
  }

  /** Commits may be frequent or rare: each leaves other windows open. */
  #environment(random: Random): Record<string, string> {
    return {
      // Half of the CPU time of a start goes into compiling what the last one has compiled.
      DARKROOM_DATA_DIR: this.#dataDir,
      DARKROOM_COMMIT_INTERVAL_MS: String(random.pick([10, 50, 500])),
      DARKROOM_COMMIT_BYTES: String(random.pick([64 * 1024, 1024 * 1024, 64 * 1024 * 1024])),
      DARKROOM_REPAIR_INTERVAL_MS: '1000',
      DARKROOM_SWEEP_INTERVAL_MS: '200',
      DARKROOM_DRAIN_TIMEOUT_MS: String(random.pick([0, 300, 1000])),
      ...(this.#postgres ? { DATABASE_URL: this.#postgres.connectionString } : {}),
    };
  }

  /** Not left to PostgreSQL's own supervision, which waits longer after each of so many deaths. Never throws. */
  async #restartDatabase(delayMs: number): Promise<void> {
    const { violate, note } = this.#options;
    await this.#postgres?.stop();
    await sleep(delayMs);
    for (let start = 1; start <= maxDatabaseStarts; start++) {
      try {
        return await this.#startDatabase();
      } catch (error) {
        // Another blow has hit it before it was up.
        note(`PostgreSQL did not start: ${String(error)}`);
      }
    }
    violate(`PostgreSQL did not start ${maxDatabaseStarts} times in a row`);
  }

  async #startDatabase(): Promise<void> {
    const { note } = this.#options;
    await mkdir(this.#databaseDir, { recursive: true });
    this.#postgres = await startEmbeddedPostgres({
      dataDir: this.#databaseDir,
      // The kernel outlives every kill, so no fsync; but what was committed must have reached the kernel.
      durable: false,
      extraSettings: { synchronous_commit: 'on', max_connections: '200' },
      logger: {
        info: (_fields, message) => note(message),
        warn: (_fields, message) => note(message),
        error: (_fields, message) => note(message),
      },
    });
  }
}

/** Processes that work on a data folder, whoever started them. */
async function serviceProcessesOf(dataDir: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (Number.isSafeInteger(pid) && pid !== process.pid) {
      const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
      if (environment.split('\0').includes(`DARKROOM_DATA_DIR=${dataDir}`)) {
        found.push(pid);
      }
    }
  }
  return found;
}

/**
 * A port below those that the kernel gives to outgoing connections: no other process must come to it
 * while the service is down.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const isFree = await new Promise<boolean>((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (isFree) {
      return port;
    }
  }
}

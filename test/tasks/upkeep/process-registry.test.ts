import { spawnSync } from 'node:child_process';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { newId, type ProcessId, type TaskId } from '../../../src/records/ids.ts';
import { machineIdentity } from '../../../src/tasks/upkeep/machine-identity.ts';
import { ProcessRegistry } from '../../../src/tasks/upkeep/process-registry.ts';
import { TaskLedger } from '../../../src/tasks/ledger/task-ledger.ts';
import { change, commitBytes, makeTask, readTask } from '../task-fixtures.ts';
import { useDatabase } from '../../support/test-database.ts';

const database = useDatabase();

interface Started {
  readonly registry: ProcessRegistry;
  readonly finishes: TaskId[];
}

async function start(heartbeatIntervalMs = 50): Promise<Started> {
  const finishes: TaskId[] = [];
  const registry = new ProcessRegistry({
    database: database(),
    ledger: new TaskLedger(database()),
    logger: { info: () => {}, warn: () => {} },
    onOrphanedFinish: (taskId) => finishes.push(taskId),
    heartbeatIntervalMs,
  });
  await registry.start();
  onTestFinished(() => registry.stop());
  return { registry, finishes };
}

interface Other {
  readonly host?: string;
  readonly machine?: string;
  readonly pid?: number;
  readonly silentForS?: number;
}

/** Another process, as it would have registered itself. */
async function register(other: Other): Promise<ProcessId> {
  const id = newId<ProcessId>();
  const { host = 'elsewhere', machine = 'another', pid = 1, silentForS = 0 } = other;
  await database().pool.query(
    `insert into processes (id, host, machine, pid, heartbeat_time)
     values ($1, $2, $3, $4, now() - $5 * interval '1 s')`,
    [id, host, machine, pid, silentForS],
  );
  onTestFinished(async () => {
    await database().pool.query('delete from processes where id = $1', [id]);
  });
  return id;
}

/** An upload that a process is writing. */
async function uploadOf(processId: ProcessId): Promise<TaskId> {
  const { taskId } = await makeTask(database());
  await change(database(), taskId, (entry) => {
    entry.start('RECEIVING', 'test');
    entry.task.writerEpoch = 1;
    entry.task.writerProcessId = processId;
    entry.task.writerPeer = 'ann';
    entry.task.writerSince = entry.now;
  });
  await commitBytes(database(), taskId, 7);
  return taskId;
}

async function isRegistered(id: ProcessId): Promise<boolean> {
  const { rowCount } = await database().pool.query('select from processes where id = $1', [id]);
  return rowCount === 1;
}

async function lastFaultMessage(taskId: TaskId): Promise<string | undefined> {
  const { rows } = await database().pool.query<{ message: string }>(
    `select message from faults where task_id = $1 and reason = 'SERVICE_LOST' and not fatal`,
    [taskId],
  );
  expect(rows.length).toBeLessThanOrEqual(1);
  return rows[0]?.message;
}

test('a process is registered while it runs', async () => {
  const { registry } = await start();
  expect(await isRegistered(registry.id)).toBe(true);
  await registry.stop();
  expect(await isRegistered(registry.id)).toBe(false);
});

test('uploads of a process that has gone silent can be resumed, and it is fenced', async () => {
  const lost = await register({ host: 'rack-7', silentForS: 11 });
  const taskId = await uploadOf(lost);
  const { finishes } = await start();
  const task = await readTask(database(), taskId);
  expect(task).toMatchObject({ state: 'RUNNING', writerProcessId: null, writerEpoch: 2 });
  expect(await lastFaultMessage(taskId)).toMatch(/on rack-7 died.*resumed from byte 7/);
  expect(await isRegistered(lost)).toBe(false);
  expect(finishes).toEqual([]);
});

test('several processes find a lost one, and each upload gets one fault', async () => {
  const lost = await register({ silentForS: 11 });
  const taskIds = [await uploadOf(lost), await uploadOf(lost), await uploadOf(lost)];
  await Promise.all([start(), start(), start()]);
  for (const taskId of taskIds) {
    expect(await lastFaultMessage(taskId)).toBeDefined();
    expect(await readTask(database(), taskId)).toMatchObject({ faultCount: 1, writerEpoch: 2 });
  }
});

test('an upload that was being checked is handed on', async () => {
  const lost = await register({ silentForS: 11 });
  const taskId = await uploadOf(lost);
  await change(database(), taskId, (entry) => {
    entry.task.finishSize = 7;
    entry.enterPhase('VERIFYING', 'test');
  });
  const { finishes } = await start();
  expect(finishes).toEqual([taskId]);
  expect(await readTask(database(), taskId)).toMatchObject({
    writerProcessId: null,
    writerEpoch: 2,
  });
});

test('a process of this machine that is gone is found at once, by its pid', async () => {
  const machine = await machineIdentity();
  const { pid } = spawnSync('true');
  const gone = await register({ host: hostname(), machine, pid });
  const recycled = await register({ host: hostname(), machine, pid: process.pid });
  const alive = await register({ host: hostname(), machine, pid: process.ppid });
  const container = await register({ host: hostname(), machine: 'another', pid });
  const unknown = await register({ host: hostname(), machine: '', pid });
  await start();
  const known = machine !== '';
  expect(await isRegistered(gone)).toBe(!known);
  expect(await isRegistered(recycled)).toBe(!known);
  for (const id of [alive, container, unknown]) {
    expect(await isRegistered(id)).toBe(true);
  }
});

test('two services in one process do not take each other for lost', async () => {
  const [one, two] = [await start(), await start()];
  await delay(300);
  expect(await isRegistered(one.registry.id)).toBe(true);
  expect(await isRegistered(two.registry.id)).toBe(true);
});

test('a process that was taken for lost comes back, and its forgotten uploads are found', async () => {
  const { registry } = await start();
  await database().pool.query('delete from processes where id = $1', [registry.id]);
  const taskId = await uploadOf(newId<ProcessId>());
  await expect.poll(() => isRegistered(registry.id), { timeout: 5000 }).toBe(true);
  await expect
    .poll(() => lastFaultMessage(taskId), { timeout: 5000 })
    .toMatch(/^The service process died/);
});

// Workers that are really killed and really frozen, each in a process of its own.
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Task } from '#contracts';
import { execute, selectRow, selectRows, transaction } from '#database';
import { newUuid } from '#kernel';
import { until } from '#testing';
import { mortalKind } from './testing/mortal.worker.ts';
import type { MortalInput } from './testing/mortal.worker.ts';
import { taskEnd } from './testing/put-through.ts';
import { worldMigration } from './testing/sample-kinds.ts';
import { SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

const script = fileURLToPath(new URL('./testing/mortal.worker.ts', import.meta.url));
let scene: ServiceScene;
let child: ChildProcess | undefined;

beforeAll(async () => { scene = await serviceScene(new SceneBus(), 'compute', [worldMigration]); });
afterAll(async () => {
  if (child?.exitCode === null) child.kill('SIGKILL');
  await scene.close();
});

/** Begins a task that only the child can take, for this process has no engine at work. */
async function beginFor(input: Omit<MortalInput, 'id'>): Promise<string> {
  const id = newUuid();
  const engine = await scene.open([mortalKind(false)], { settings: { sweepMs: 600_000 } });
  await engine.close();
  return transaction(scene.db, async (tx) => (await engine.start(tx, mortalKind(false), { objectId: id, input: { id, ...input }, lock: [{ noun: 'mortal', id }] })).taskId);
}

const spawnMortal = (): ChildProcess => spawn(process.execPath, ['--no-warnings', '--experimental-transform-types', '-C', 'source', script, scene.url], { stdio: ['ignore', 'ignore', 'inherit'] });

async function checkWhole(task: Task): Promise<void> {
  expect(task.state).toBe('succeeded');
  expect(await selectRows(scene.db, 'SELECT id FROM world WHERE owner = ?', [task.id])).toHaveLength(3);
  expect(await selectRows(scene.db, 'SELECT * FROM task_lock')).toEqual([]);
}

const stateOfProcess = (pid: number): string => /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1] ?? '';

describe('a worker', () => {
  it.each([['one', 'before'], ['one', 'after'], ['two', 'after'], ['three', 'before'], ['three', 'after']] as const)('that is killed at step %s, %s its work, is followed by another', async (at, place) => {
    const taskId = await beginFor({ at, place, signal: 'SIGKILL' });
    child = spawnMortal();
    const [, signal] = (await once(child, 'exit')) as [number | null, string | null];
    expect(signal).toBe('SIGKILL');
    const engine = await scene.open([mortalKind(false)]);
    await checkWhole(await taskEnd(engine, taskId));
    await engine.close();
  });

  it('that is killed holds nothing any longer, however long its claim would last', async () => {
    const taskId = await beginFor({ at: 'two', place: 'after', signal: 'SIGKILL' });
    child = spawnMortal();
    await once(child, 'exit');
    await execute(scene.db, 'UPDATE task SET claim_until = UTC_TIMESTAMP(3) + INTERVAL 1 DAY WHERE id = ?', [taskId]);
    const engine = await scene.open([mortalKind(false)]);
    await checkWhole(await taskEnd(engine, taskId));
    await engine.close();
  });

  it('that is frozen and thawed too late records nothing', async () => {
    const taskId = await beginFor({ at: 'two', place: 'after', signal: 'SIGSTOP' });
    child = spawnMortal();
    const pid = child.pid ?? 0;
    await until('the worker is frozen', () => stateOfProcess(pid) === 'T');
    const engine = await scene.open([mortalKind(false)]);
    const ended = await taskEnd(engine, taskId);
    await checkWhole(ended);
    const row = await selectRow(scene.db, 'SELECT * FROM task WHERE id = ?', [taskId]);
    const steps = await selectRows<{ name: string; output: string }>(scene.db, 'SELECT name, output FROM task_step WHERE task_id = ? ORDER BY seq', [taskId]);
    expect(steps.map((step) => (JSON.parse(step.output) as { pid: number }).pid)).toEqual([pid, process.pid, process.pid]);
    child.kill('SIGCONT');
    // It ends by itself only after its run has come to an end, so whatever it would write is written by then.
    child.kill('SIGTERM');
    const [code] = (await once(child, 'exit')) as [number | null];
    expect(code).toBe(0);
    expect(await selectRow(scene.db, 'SELECT * FROM task WHERE id = ?', [taskId])).toEqual(row);
    await engine.close();
  });
});

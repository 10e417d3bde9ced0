// The engine against real MariaDB and Redis, with everything killed, paused and emptied that can be.
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Redis } from 'ioredis';
import type { TaskState } from '#contracts';
import { HostUnreachable, Internal, NoCapacity } from '#contracts';
import { execute, selectRow, selectRows, transaction } from '#database';
import { FaultError, failed, newUuid } from '#kernel';
import { until } from '#testing';
import { claimTask, fenced } from './claim.store.ts';
import { runCommand } from './command.store.ts';
import { ClaimLost } from './interrupt.ts';
import { defineTask } from './kind.ts';
import type { StepContext, TaskKind } from './kind.ts';
import type { TaskEngine } from './task.engine.ts';
import { ownRedis } from './testing/own-servers.ts';
import { answerThings, buildOnHost, dropThingKind, hostBuild, makeThing, makeThingKind, openLocks, worldMigration } from './testing/sample-kinds.ts';
import { taskEnd } from './testing/put-through.ts';
import { contextOf, SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

const redisUrl = (): string => process.env['TOK_TEST_REDIS_URL'] ?? '';
const bus = new SceneBus();
buildOnHost(bus);
let compute: ServiceScene;
let storage: ServiceScene;
let things: TaskEngine;

beforeAll(async () => {
  [compute, storage] = await Promise.all([serviceScene(bus, 'compute', [worldMigration]), serviceScene(bus, 'storage', [worldMigration])]);
  things = await storage.open([makeThingKind, dropThingKind]);
  answerThings(bus, things);
});
afterEach(() => compute.closeEngines());
afterAll(async () => {
  await compute.close();
  await storage.close();
});

type Run = (ctx: StepContext<unknown>) => Promise<unknown>;
let kinds = 0;
/** A kind of its own per test, so that no test runs what another one left. */
const newKind = (): string => `compute.trial.run-${(kinds += 1)}`;
const kindOf = (...runs: Run[]): TaskKind => defineTask({ kind: newKind(), object: 'trial', steps: runs.map((run, index) => ({ name: `step-${index}`, run })) });
/** Begins a task of the kind that was made last. */
const begin = (engine: TaskEngine, lock: { noun: string; id: string }[] = []): Promise<string> =>
  transaction(engine.db, async (tx) => (await engine.start(tx, `compute.trial.run-${kinds}`, { objectId: newUuid(), input: {}, lock })).taskId);
const stateOf = async (engine: TaskEngine, taskId: string): Promise<TaskState | undefined> => (await engine.get(taskId))?.state;
const cancel = (engine: TaskEngine, taskId: string): Promise<void> => transaction(engine.db, (tx) => engine.cancel(tx, taskId));
const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'ok';
  } catch (error) {
    if (error instanceof FaultError) return error.fault.code;
    throw error;
  }
};

describe('a sweep', () => {
  it('goes on until nothing is left that is late, without a pause and without Redis', async () => {
    const closed = await compute.open([kindOf(() => Promise.resolve())]);
    await closed.close();
    const tasks = await Promise.all(Array.from({ length: 250 }, () => begin(closed)));
    const kind = defineTask({ kind: `compute.trial.run-${kinds}`, object: 'trial', steps: [{ name: 'step-0', run: () => Promise.resolve() }] });
    const engine = await compute.open([kind], { settings: { sweepMs: 600_000 } });
    await until('all have ended', async () => (await selectRows(compute.db, 'SELECT id FROM task WHERE kind = ? AND ended_at IS NULL', [kind.kind])).length === 0, 60_000);
    expect(await stateOf(engine, tasks[249]!)).toBe('succeeded');
  });
});

describe('claims', () => {
  it('go to one of many, and a worker that slept too long writes nothing', async () => {
    const sleeper = await compute.open([kindOf(() => Promise.resolve())], { settings: { sweepMs: 600_000 } });
    await sleeper.vanish();
    const taskId = await begin(sleeper);
    const claims = await Promise.all(Array.from({ length: 8 }, (_, index) => claimTask(compute.db, taskId, `w${index}`, 300)));
    const won = claims.filter((claim) => claim !== null);
    expect(won.length).toBe(1);
    const old = won[0];
    if (old === undefined) throw new Error('nobody won');
    let next = await claimTask(compute.db, taskId, 'late', 60_000);
    await until('the first claim has run out', async () => (next ??= await claimTask(compute.db, taskId, 'late', 60_000)) !== null);
    await expect(fenced(compute.db, old.claim, (tx) => execute(tx, 'UPDATE task SET object_name = ? WHERE id = ?', ['thawed', taskId]))).rejects.toBeInstanceOf(ClaimLost);
    expect(await selectRow(compute.db, 'SELECT object_name FROM task WHERE id = ?', [taskId])).toEqual({ object_name: null });
    await execute(compute.db, 'UPDATE task SET claim_until = NULL WHERE id = ?', [taskId]);
  });

  it('a run whose claim was taken is told so, records nothing and ends', async () => {
    const { promise: started, resolve } = Promise.withResolvers<AbortSignal>();
    const engine = await compute.open([kindOf(async (ctx) => {
      if (ctx.attempt > 1) return 'second';
      resolve(ctx.signal);
      await new Promise<void>((stop) => { ctx.signal.addEventListener('abort', () => { stop(); }); });
      return 'first';
    })]);
    const taskId = await begin(engine);
    const signal = await started;
    // What another worker does when this one is frozen for longer than its claim.
    await execute(compute.db, 'UPDATE task SET run_epoch = run_epoch + 1, claim_until = NULL, claimed_by = NULL WHERE id = ?', [taskId]);
    await until('the run hears of it', () => signal.aborted);
    expect((await taskEnd(engine, taskId)).output).toBe('second');
    await engine.close();
  });

  it('two replicas run no step twice at once, and 200 tasks all end', async () => {
    const inside = new Map<string, number>();
    let most = 0;
    const step: Run = async (ctx) => {
      const now = (inside.get(ctx.task.id) ?? 0) + 1;
      inside.set(ctx.task.id, now);
      most = Math.max(most, now);
      await ctx.tx((tx) => tx.query('SELECT 1'));
      inside.set(ctx.task.id, now - 1);
    };
    const kind = kindOf(step, step, step);
    const replicas = await Promise.all([0, 1].map(() => compute.open([kind], { redisUrl: redisUrl() })));
    const [first] = replicas;
    if (first === undefined) throw new Error('no replica');
    await Promise.all(Array.from({ length: 200 }, () => begin(first)));
    const count = async (condition: string): Promise<number> =>
      Number((await selectRow<{ n: number | string }>(compute.db, `SELECT COUNT(*) AS n FROM task WHERE kind = ? AND ${condition}`, [kind.kind]))?.n);
    await until('all have ended', async () => (await count('ended_at IS NULL')) === 0, 60_000);
    expect(await count("state = 'succeeded'")).toBe(200);
    expect(most).toBe(1);
    await Promise.all(replicas.map((engine) => engine.close()));
  });
});

/** On a server of the test's own: what is done to it would meet every test beside this one. */
async function withOwnRedis(test: (url: string, client: Redis) => Promise<void>): Promise<void> {
  const server = await ownRedis();
  const client = new Redis(server.url);
  try {
    await test(server.url, client);
  } finally {
    client.disconnect();
    await server.remove();
  }
}

describe('without Redis', () => {
  it('FLUSHALL in the middle loses nothing', () => withOwnRedis(async (url, client) => {
    const gate = Promise.withResolvers<undefined>();
    const engine = await compute.open([kindOf(() => gate.promise, () => Promise.resolve('done'))], { redisUrl: url, settings: { concurrency: 4 } });
    const ids = await Promise.all(Array.from({ length: 20 }, () => begin(engine)));
    await client.flushall();
    gate.resolve(undefined);
    for (const id of ids) expect((await taskEnd(engine, id)).state).toBe('succeeded');
    await engine.close();
  }));
  it('opens, begins and ends tasks with nobody listening', async () => {
    const engine = await compute.open([kindOf(() => Promise.resolve('done'))], { redisUrl: 'redis://127.0.0.1:1' });
    expect((await taskEnd(engine, await begin(engine))).state).toBe('succeeded');
    expect(engine.redisWorks).toBe(false);
    await engine.close();
  });
  it('refuses to open on a Redis that evicts', () => withOwnRedis(async (url, client) => {
    await client.config('SET', 'maxmemory-policy', 'allkeys-lru');
    await expect(compute.open([kindOf(() => Promise.resolve())], { redisUrl: url })).rejects.toThrow('must be noeviction');
  }));
});

describe('commands', () => {
  it('the same key twice is one task, another body is refused, also when they come together', async () => {
    const engine = await storage.open([]);
    const call = (thingId: string, key: string) => runCommand(storage.db, { ctx: contextOf({ system: true, caller: 'test', idempotencyKey: key }), operation: makeThing, input: { thingId, owner: 'o' } },
      (tx) => things.start(tx, makeThingKind, { objectId: thingId, input: { thingId, owner: 'o' } }));
    const key = newUuid();
    const answers = await Promise.all(Array.from({ length: 10 }, () => call('same', key)));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(await selectRows(storage.db, "SELECT id FROM task WHERE object_id = 'same'")).toHaveLength(1);
    const other = await call('other', key);
    expect(other.ok ? 'ok' : other.fault.code).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(await selectRows(storage.db, "SELECT id FROM task WHERE object_id = 'other'")).toEqual([]);
    await engine.close();
  });
  it('a refusal is not recorded: the key is free again', async () => {
    const ctx = contextOf({ system: true, caller: 'test', idempotencyKey: newUuid() });
    const call = (fail: boolean) => runCommand(storage.db, { ctx, operation: makeThing, input: { thingId: 'later', owner: 'o' } }, async (tx) => {
      const ref = await things.start(tx, makeThingKind, { objectId: 'later', input: { thingId: 'later', owner: 'o' } });
      return fail ? failed(Internal.fault('not now')) : ref;
    });
    expect((await call(true)).ok).toBe(false);
    expect(await selectRows(storage.db, "SELECT id FROM task WHERE object_id = 'later'")).toEqual([]);
    expect((await call(false)).ok).toBe(true);
  });
  it('an object belongs to one root task; the next one hears who holds it', async () => {
    const gate = Promise.withResolvers<undefined>();
    const engine = await compute.open([kindOf(() => gate.promise)]);
    const lock = [{ noun: 'vm', id: newUuid() }];
    const taskId = await begin(engine, lock);
    const refused = await begin(engine, lock).catch((error: unknown) => (error instanceof FaultError ? error.fault : null));
    expect(refused).toMatchObject({ code: 'BUSY', details: { taskId, noun: 'vm' } });
    gate.resolve(undefined);
    await taskEnd(engine, taskId);
    expect(await openLocks(compute)).toEqual([]);
    expect((await taskEnd(engine, await begin(engine, lock))).state).toBe('succeeded');
    await engine.close();
  });
});

describe('waiting', () => {
  it('a parked task says for what, holds no claim, and can be cancelled', async () => {
    const engine = await compute.open([kindOf((ctx) => ctx.waitFor({ what: 'the moon', holder: 'night', position: 2, lookAgainMs: 600_000 }))]);
    const taskId = await begin(engine);
    await until('it waits', async () => (await stateOf(engine, taskId)) === 'waiting');
    expect((await engine.get(taskId))?.waitsFor).toMatchObject({ what: 'the moon', holder: 'night', position: 2 });
    expect(await selectRow(compute.db, 'SELECT claimed_by FROM task WHERE id = ?', [taskId])).toEqual({ claimed_by: null });
    await cancel(engine, taskId);
    expect((await taskEnd(engine, taskId)).state).toBe('cancelled');
    expect(await codeOf(cancel(engine, taskId))).toBe('ok');
    await engine.close();
  });
  it('a parked task has been waiting for the same since it first looked for it', async () => {
    let looks = 0;
    const engine = await compute.open([kindOf((ctx) => ctx.waitFor({ what: (looks += 1) > 6 ? 'the sun' : 'the moon', position: looks, lookAgainMs: looks > 6 ? 600_000 : 50 }))]);
    const taskId = await begin(engine);
    const sinces: string[] = [];
    await until('it has looked for another', async () => {
      const waits = (await engine.get(taskId))?.waitsFor;
      if (waits?.what === 'the moon') sinces.push(waits.since);
      return waits?.what === 'the sun';
    });
    expect(new Set(sinces).size).toBe(1);
    expect((await engine.get(taskId))!.waitsFor!.since > sinces[0]!).toBe(true);
    await cancel(engine, taskId);
    await taskEnd(engine, taskId);
  });

  it('is woken before its time, also while it is just going to sleep', async () => {
    let awake = false;
    const engine: TaskEngine = await compute.open([kindOf(async (ctx) => {
      if (awake) return 'woken';
      awake = true;
      await engine.wake(ctx.task.id);
      return ctx.waitFor({ what: 'a call', lookAgainMs: 600_000 });
    })]);
    expect((await taskEnd(engine, await begin(engine))).output).toBe('woken');
    await engine.close();
  });
  it('a host that is away for a while delays; away for longer fails with its fault', async () => {
    const engine = await compute.open([kindOf((ctx) => ctx.host('host-1', hostBuild, { id: ctx.task.id }))]);
    bus.host.reachable = false;
    const delayed = await begin(engine);
    await until('it waits', async () => (await engine.get(delayed))?.waitsFor?.holder === 'host-1');
    bus.host.reachable = true;
    expect((await taskEnd(engine, delayed)).state).toBe('succeeded');
    bus.host.reachable = false;
    const lost = await taskEnd(engine, await begin(engine));
    bus.host.reachable = true;
    expect(lost).toMatchObject({ state: 'failed', error: { code: HostUnreachable.code } });
    await engine.close();
  });
  it('the end of a child wakes its parent, and a cancel goes down to it', async () => {
    const gate = Promise.withResolvers<undefined>();
    const engine = await compute.open([kindOf((ctx) => ctx.child(makeThing, { thingId: ctx.task.id, owner: 'x' }))]);
    const slow = defineTask({ ...makeThingKind, steps: [{ name: 'hold', run: (ctx: StepContext<unknown>) => (ctx.signal.aborted ? Promise.resolve() : Promise.race([gate.promise, new Promise((stop) => { ctx.signal.addEventListener('abort', stop); })])) }] });
    await things.close();
    const slowThings = await storage.open([slow]);
    answerThings(bus, slowThings);
    const taskId = await begin(engine);
    await until('it waits for its child', async () => (await stateOf(engine, taskId)) === 'waiting');
    await cancel(engine, taskId);
    expect((await taskEnd(engine, taskId)).state).toBe('cancelled');
    expect(await selectRow(storage.db, 'SELECT state, root_task_id AS root, parent_task_id AS parent FROM task WHERE root_task_id = ?', [taskId])).toEqual({ state: 'cancelled', root: taskId, parent: taskId });
    await slowThings.close();
    things = await storage.open([makeThingKind, dropThingKind]);
    answerThings(bus, things);
    await engine.close();
  });
});

describe('failures', () => {
  it('a fault fails the task with itself; a bug is tried a few times first and told as INTERNAL', async () => {
    let tries = 0;
    const engine = await compute.open([kindOf(() => Promise.resolve(NoCapacity.fail('full', { refusals: [] })))]);
    expect(await taskEnd(engine, await begin(engine))).toMatchObject({ state: 'failed', error: { code: 'NO_CAPACITY' } });
    await engine.close();
    const buggy = await compute.open([kindOf(() => Promise.reject(new Error(`secret ${(tries += 1)}`)))]);
    const task = await taskEnd(buggy, await begin(buggy));
    expect(task).toMatchObject({ state: 'failed', error: { code: 'INTERNAL' } });
    expect(JSON.stringify(task)).not.toContain('secret');
    expect(tries).toBe(3);
    await buggy.close();
  });
  it('a cancel stops the step that it finds, and not the undo that follows', async () => {
    const heard: boolean[] = [];
    const kind = defineTask({
      kind: newKind(), object: 'trial',
      steps: [{
        name: 'one',
        run: (ctx) => until('the cancel is heard', () => ctx.signal.aborted),
        undo: async (ctx) => {
          const claimedUntil = async (): Promise<number> => (await selectRow<{ claim_until: Date }>(compute.db, 'SELECT claim_until FROM task WHERE id = ?', [ctx.task.id]))!.claim_until.getTime();
          const atFirst = await claimedUntil();
          // The row says all the while that a cancel was asked for; each renewal reads it.
          let renewed = 0;
          await until('the claim is renewed', async () => (renewed = await claimedUntil()) > atFirst);
          await until('the claim is renewed again', async () => (await claimedUntil()) > renewed);
          heard.push(ctx.signal.aborted);
        },
      }],
    });
    const engine = await compute.open([kind]);
    const taskId = await begin(engine);
    await until('it runs', async () => (await stateOf(engine, taskId)) === 'running');
    await cancel(engine, taskId);
    expect(await taskEnd(engine, taskId)).toMatchObject({ state: 'cancelled' });
    expect(heard).toEqual([false]);
  });
  it('an undo that cannot complete needs attention, holds no lock, and can be retried', async () => {
    let broken = true;
    const ends: string[] = [];
    const kind = defineTask({
      kind: newKind(), object: 'trial',
      steps: [
        { name: 'one', run: () => Promise.resolve(), undo: () => (broken ? Promise.resolve(Internal.fail('jammed')) : Promise.resolve()) },
        { name: 'two', run: () => Promise.resolve(NoCapacity.fail('full', { refusals: [] })) },
      ],
      onFinished: (_tx, outcome) => {
        ends.push(outcome.state);
        return Promise.resolve();
      },
    });
    const engine = await compute.open([kind]);
    const taskId = await begin(engine, [{ noun: 'vm', id: 'stuck' }]);
    const stuck = await taskEnd(engine, taskId);
    expect(stuck).toMatchObject({ state: 'needs-attention', error: { detail: 'jammed' } });
    expect(stuck.steps.map((step) => step.state)).toEqual(['undo-failed', 'undone']);
    expect(await openLocks(compute)).toEqual([]);
    expect(await codeOf(cancel(engine, taskId))).toBe('TASK_NOT_CANCELLABLE');
    broken = false;
    await transaction(compute.db, (tx) => engine.retry(tx, taskId));
    await until('it ends', async () => (await stateOf(engine, taskId)) === 'failed');
    expect(ends).toEqual(['needs-attention', 'failed']);
    expect(await codeOf(transaction(compute.db, (tx) => engine.retry(tx, taskId)))).toBe('WRONG_STATE');
    await engine.close();
  });
  it('past its point of no return a retry goes forward', async () => {
    let broken = true;
    const undone: string[] = [];
    const kind = defineTask({
      kind: newKind(), object: 'trial',
      steps: [
        { name: 'one', run: () => Promise.resolve('kept'), undo: () => Promise.resolve(undone.push('one')) },
        { name: 'two', noReturn: true, run: (ctx) => (broken ? Promise.resolve(Internal.fail('jammed')) : Promise.resolve(ctx.output<string>('one'))) },
      ],
    });
    const engine = await compute.open([kind]);
    const taskId = await begin(engine);
    expect((await taskEnd(engine, taskId)).state).toBe('needs-attention');
    broken = false;
    await transaction(compute.db, (tx) => engine.retry(tx, taskId));
    await until('it ends', async () => (await stateOf(engine, taskId)) === 'succeeded');
    expect(await engine.get(taskId)).toMatchObject({ output: 'kept', error: null });
    expect(undone).toEqual([]);
  });
  it('whose end cannot be recorded is tried a few times and then ends visibly', async () => {
    const kind = { ...kindOf(() => Promise.resolve()), onFinished: () => Promise.reject(new Error('no')) };
    const engine = await compute.open([kind]);
    expect(await taskEnd(engine, await begin(engine, [{ noun: 'vm', id: 'end' }]))).toMatchObject({ state: 'needs-attention', error: { code: 'INTERNAL' } });
    expect(await openLocks(compute)).toEqual([]);
  });
  it('a service that stops hands its tasks to the next at once', async () => {
    const entered = Promise.withResolvers<undefined>();
    const waits: Run = async (ctx) => {
      if (ctx.attempt > 1) return 'second';
      entered.resolve(undefined);
      await new Promise<void>((stop) => { ctx.signal.addEventListener('abort', () => { stop(); }); });
      throw new Error('interrupted');
    };
    const kind = kindOf(waits);
    const first = await compute.open([kind], { settings: { leaseMs: 600_000 } });
    const taskId = await begin(first);
    await entered.promise;
    await first.close();
    const second = await compute.open([kind]);
    expect((await taskEnd(second, taskId)).output).toBe('second');
    await second.close();
  });
  it('progress has a rate and an estimate while the step works', async () => {
    const gate = Promise.withResolvers<undefined>();
    const engine = await compute.open([kindOf(async (ctx) => {
      ctx.progress({ done: 5, total: 10, unit: 'bytes' });
      await gate.promise;
    })]);
    const taskId = await begin(engine);
    await until('it shows', async () => (await engine.get(taskId))?.progress?.done === 5);
    await engine.reportProgress(`${taskId}/0`, { done: 8, total: 10, unit: 'bytes' });
    expect((await engine.get(taskId))?.progress).toMatchObject({ done: 8, total: 10, unit: 'bytes' });
    gate.resolve(undefined);
    expect((await taskEnd(engine, taskId)).progress).toBeNull();
    await engine.close();
  });
});

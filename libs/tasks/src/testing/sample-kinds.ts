// A kind with everything in it: work in the own schema, a child task of another service, a host command, a synchronous
// request; and the world it works on, so that a test can see what is left.
import { z } from 'zod';
import { defineCommand, defineHostCommand, Done, TaskRef } from '#contracts';
import { defineMigration, execute, selectRow, selectRows } from '#database';
import { newUuid, ok } from '#kernel';
import { runCommand } from '../command.store.ts';
import { defineTask } from '../kind.ts';
import type { TaskKind } from '../kind.ts';
import type { TaskEngine } from '../task.engine.ts';
import type { SceneBus, ServiceScene } from './scene.ts';

export const makeThing = defineCommand('storage.thing.make', { summary: 'Make a thing', permission: 'internal', input: z.strictObject({ thingId: z.string(), owner: z.string() }), reply: TaskRef });
export const dropThing = defineCommand('storage.thing.drop', { summary: 'Drop a thing', permission: 'internal', input: z.strictObject({ thingId: z.string() }), reply: TaskRef });
export const nameThing = defineCommand('storage.thing.name', { summary: 'Name a thing', permission: 'internal', input: z.strictObject({ thingId: z.string(), name: z.string() }), reply: Done });
export const hostBuild = defineHostCommand('thing.build', { summary: 'Build', actor: 'host', probe: 'file', input: z.strictObject({ commandId: z.string(), id: z.string() }), reply: z.strictObject({ path: z.string() }) });
export const hostRaze = defineHostCommand('thing.raze', { summary: 'Raze', actor: 'host', probe: 'file', input: z.strictObject({ commandId: z.string(), id: z.string() }), reply: Done });

export const worldMigration = defineMigration('test.0001-world', [
  'CREATE TABLE world (id varchar(64) CHARACTER SET ascii NOT NULL PRIMARY KEY, owner varchar(64) NOT NULL, name varchar(64) NULL, ready tinyint NOT NULL DEFAULT 0, finished varchar(20) NULL)',
]);

export interface MakeInput {
  readonly id: string;
}

/** reserve > thing (child) > name (request) > build (host) > ready. */
export const makeKind: TaskKind<MakeInput> = defineTask<MakeInput>({
  kind: 'compute.sample.make', object: 'sample',
  steps: [
    {
      name: 'reserve', why: 'the row holds the place before anything costs',
      run: (ctx) => ctx.tx((tx) => execute(tx, 'INSERT IGNORE INTO world (id, owner) VALUES (?, ?)', [ctx.input.id, ctx.task.id])),
      undo: (ctx) => ctx.tx((tx) => execute(tx, 'DELETE FROM world WHERE id = ?', [ctx.input.id])),
    },
    {
      name: 'thing',
      run: (ctx) => ctx.child(makeThing, { thingId: `thing-${ctx.input.id}`, owner: ctx.input.id }),
      undo: (ctx) => ctx.child(dropThing, { thingId: `thing-${ctx.input.id}` }),
    },
    { name: 'name', run: (ctx) => ctx.request(nameThing, { thingId: `thing-${ctx.input.id}`, name: 'named' }) },
    {
      name: 'build',
      run: (ctx) => ctx.host('host-1', hostBuild, { id: ctx.input.id }),
      undo: (ctx) => ctx.host('host-1', hostRaze, { id: ctx.input.id }),
    },
    {
      name: 'ready',
      run: (ctx) => ctx.tx(async (tx) => {
        await execute(tx, 'UPDATE world SET ready = 1 WHERE id = ?', [ctx.input.id]);
        return { path: ctx.output<{ path: string }>('build').path };
      }),
    },
  ],
  onFinished: async (tx, outcome) => {
    await execute(tx, 'UPDATE world SET finished = ? WHERE id = ?', [outcome.state, outcome.input.id]);
  },
});

interface ThingInput {
  readonly thingId: string;
  readonly owner: string;
}

export const makeThingKind = defineTask<ThingInput>({
  kind: 'storage.thing.make', object: 'thing',
  steps: [{
    name: 'write',
    run: (ctx) => ctx.tx((tx) => execute(tx, 'INSERT IGNORE INTO world (id, owner) VALUES (?, ?)', [ctx.input.thingId, ctx.input.owner])),
    undo: (ctx) => ctx.tx((tx) => execute(tx, 'DELETE FROM world WHERE id = ?', [ctx.input.thingId])),
  }],
});

export const dropThingKind = defineTask<{ readonly thingId: string }>({
  kind: 'storage.thing.drop', object: 'thing',
  steps: [{ name: 'erase', noReturn: true, run: (ctx) => ctx.tx((tx) => execute(tx, 'DELETE FROM world WHERE id = ?', [ctx.input.thingId])) }],
});

/** Answers the sample's operations on the scene's bus from a storage engine. */
export function answerThings(bus: SceneBus, engine: TaskEngine): void {
  const command = (operation: typeof makeThing | typeof dropThing, kind: TaskKind<never>) => {
    bus.handle(operation, (input, ctx) => runCommand(engine.db, { ctx, operation, input }, (tx) =>
      engine.start(tx, kind.kind, { objectId: input.thingId, input, ctx, lock: [{ noun: 'thing', id: input.thingId }] })));
  };
  command(makeThing, makeThingKind);
  command(dropThing, dropThingKind);
  bus.handle(nameThing, (input, ctx) => runCommand(engine.db, { ctx, operation: nameThing, input }, async (tx) => {
    await execute(tx, 'UPDATE world SET name = ? WHERE id = ?', [input.name, input.thingId]);
    return {};
  }));
}

/** What the host has built, by id. */
export function buildOnHost(bus: SceneBus): Set<string> {
  const built = new Set<string>();
  bus.host.act(hostBuild, (input) => {
    built.add(String(input['id']));
    return ok({ path: `/built/${String(input['id'])}` });
  });
  bus.host.act(hostRaze, (input) => {
    built.delete(String(input['id']));
    return ok({});
  });
  return built;
}

export async function beginSample(engine: TaskEngine, transaction: (work: (tx: Parameters<TaskEngine['start']>[0]) => Promise<string>) => Promise<string>): Promise<string> {
  const id = newUuid();
  return transaction(async (tx) => (await engine.start(tx, makeKind.kind, { objectId: id, input: { id }, lock: [{ noun: 'sample', id }] })).taskId);
}

export interface WorldRow { id: string; owner: string; name: string | null; ready: number; finished: string | null }
export const worldRow = (scene: ServiceScene, id: string): Promise<WorldRow | undefined> => selectRow<WorldRow>(scene.db, 'SELECT * FROM world WHERE id = ?', [id]);
export const openLocks = (scene: ServiceScene): Promise<unknown[]> => selectRows(scene.db, 'SELECT * FROM task_lock');

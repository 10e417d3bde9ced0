// Every kind of task of a switch, put through everything that a task must survive. What a host still has to be told when the
// task has ended is told by the reconciler, which is what a check does first.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { hostSwitchApply, hostSwitchRemove } from '#contracts';
import type { HostId, SwitchId, Task } from '#contracts';
import { selectRows, transaction } from '#database';
import { newUuid, ok } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { proofs, SceneBus, serviceScene } from '#testing';
import type { ServiceScene, Trial } from '#testing';
import { networkMigrations } from '../../migrations/0001-network.ts';
import { recordHost } from '../host/host.store.ts';
import { SwitchApplier } from './switch.applier.ts';
import { findSwitch, insertSwitch, markDeleting, rewriteSwitch } from './switch.store.ts';
import { SwitchTasks } from './switch.tasks.ts';

const bus = new SceneBus();
const hostId = newUuid() as HostId;
/** MTU of the switches that the host has. */
const onHost = new Map<string, number>();
const spec = (mtu: number) => ({ name: `switch ${newUuid()}`, description: '', mtu, uplinks: [{ hostId, names: ['up0'] }] });
const before = { mtu: 1_500, uplinks: spec(1_500).uplinks };
let scene: ServiceScene;
let applier: SwitchApplier;
let kinds: SwitchTasks;

beforeAll(async () => {
  scene = await serviceScene(bus, 'network', networkMigrations);
  bus.host.act(hostSwitchApply, (input) => {
    onHost.set(String(input['switchId']), Number(input['mtu']));
    return ok({ bridge: 'tk0' });
  });
  bus.host.act(hostSwitchRemove, (input) => {
    onHost.delete(String(input['switchId']));
    return ok({});
  });
  applier = new SwitchApplier(scene.db, bus.of('network'));
  kinds = new SwitchTasks(applier);
  await recordHost(scene.db, { id: hostId, state: 'connected', version: 1 });
});
afterAll(() => scene.close());

/** A switch that the host has. */
async function applied(): Promise<SwitchId> {
  const switchId = newUuid() as SwitchId;
  await transaction(scene.db, (tx) => insertSwitch(tx, switchId, spec(before.mtu)));
  await applier.apply(switchId);
  return switchId;
}
const start = (engine: TaskEngine, kind: TaskKind, switchId: SwitchId, decide: Parameters<typeof transaction<unknown>>[1]): Promise<string> =>
  transaction(scene.db, async (tx) => {
    const { taskId } = await engine.start(tx, kind, { objectId: switchId, lock: [{ noun: 'switch', id: switchId }], input: { switchId, before } });
    await decide(tx);
    return taskId;
  });

/** What the schema and the host say of a switch, and whether it is locked. */
async function seen({ object: { id } }: Task): Promise<object> {
  await applier.apply(id as SwitchId);
  const stored = await findSwitch(scene.db, id);
  return { row: stored?.mtu, host: onHost.get(id), locks: (await selectRows(scene.db, 'SELECT * FROM task_lock WHERE object_id = ?', [id])).length };
}
const at = (mtu: number | undefined) => ({ row: mtu, host: mtu, locks: 0 });

interface Case {
  kind(): TaskKind;
  begin(engine: TaskEngine): Promise<string>;
  /** After a success, and after a way back. */
  readonly mtu: readonly [number | undefined, number | undefined];
}
const cases: Readonly<Record<string, Case>> = {
  create: {
    kind: () => kinds.create, mtu: [9_000, undefined],
    begin: (engine) => {
      const switchId = newUuid() as SwitchId;
      return start(engine, kinds.create, switchId, (tx) => insertSwitch(tx, switchId, spec(9_000)));
    },
  },
  update: {
    kind: () => kinds.update, mtu: [9_000, 1_500],
    begin: async (engine) => {
      const switchId = await applied();
      return start(engine, kinds.update, switchId, (tx) => rewriteSwitch(tx, switchId, spec(9_000), true));
    },
  },
  delete: {
    kind: () => kinds.delete, mtu: [undefined, 1_500],
    begin: async (engine) => {
      const switchId = await applied();
      return start(engine, kinds.delete, switchId, (tx) => markDeleting(tx, switchId));
    },
  },
};

describe.each(Object.entries(cases))('%s', (_name, { kind, begin, mtu: [succeeded, undone] }) => {
  const trial = (): Trial => ({
    kind: kind(), begin, open: (variant, over) => scene.open([variant], { settings: { ...over, concurrency: 16, leaseMs: 500, renewMs: 120, sweepMs: 60 } }),
    check: async (task) => { expect(await seen(task)).toEqual(at(task.state === 'succeeded' ? succeeded : undone)); },
  });
  for (const { shows, proof, withinMs } of proofs) it(shows, () => proof(trial()), withinMs);
});

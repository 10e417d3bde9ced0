// Placement says why: each host that cannot take a VM is named with its reason, a VM that fits nowhere is refused with
// all of them, and a refused VM holds nothing.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVm, explainPlacement, listCapacity, updateHost } from '#contracts';
import { eventually } from './eventually.ts';
import { holdings } from './holdings.ts';
import { begin, deploy, removeOwn } from './vms.ts';
import { hostsByName, MiB, openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
beforeAll(async () => { world = await openWorld('place'); });
afterAll(() => removeOwn(world));

const maintain = async (name: string, maintenance: boolean): Promise<void> => {
  await world.rest.ask(updateHost, { hostId: (await hostsByName(world)).get(name)!.id, maintenance });
};
const explain = (memoryBytes: number) => world.rest.ask(explainPlacement, { clusterId: world.record.cluster.id, demand: { vcpus: 1, memoryBytes } });

describe('placement', () => {
  it('offers every host to a small VM', async () => {
    const { candidates, refusals } = await explain(128 * MiB);
    expect(candidates.map((host) => host.hostName).sort()).toEqual(['host1', 'host2', 'host3']);
    expect(refusals).toEqual([]);
  });

  it('says of each host why it cannot take what is too big, or what it must not take', async () => {
    const all = await world.rest.ask(listCapacity, {});
    const tooBig = Math.max(...all.items.map((host) => host.memoryBytes)) * 8;
    const { candidates, refusals } = await explain(Math.min(Math.ceil(tooBig / MiB) * MiB, 2 ** 43));
    expect(candidates).toEqual([]);
    expect(refusals.map(({ hostName, reason }) => [hostName, reason]).sort()).toEqual([['host1', 'memory'], ['host2', 'memory'], ['host3', 'memory']]);
    for (const { text } of refusals) expect(text).toMatch(/\d/);
  });

  it('keeps new VMs off a host in maintenance, and says so', async () => {
    await maintain('host1', true);
    try {
      // The scheduler hears of it by an event.
      const { candidates, refusals } = await eventually('the scheduler knows', async () => {
        const answer = await explain(128 * MiB);
        return answer.refusals.length > 0 ? answer : null;
      }, { withinMs: 10_000 });
      expect(candidates.map((host) => host.hostName).sort()).toEqual(['host2', 'host3']);
      expect(refusals).toMatchObject([{ hostName: 'host1', reason: 'maintenance' }]);
      const vm = await deploy(world, 'elsewhere', { nics: [] });
      expect(vm.status.hostId).not.toBe((await hostsByName(world)).get('host1')!.id);
    } finally {
      await maintain('host1', false);
      await eventually('the scheduler knows', async () => (await explain(128 * MiB)).refusals.length === 0, { withinMs: 10_000 });
    }
  });

  it('puts a VM on the host that is named, and nowhere else', async () => {
    for (const host of world.record.hosts.slice(1)) {
      expect((await deploy(world, `on-${host.name}`, { hostId: host.id, nics: [] })).status.hostId).toBe(host.id);
    }
  });

  it('ends the task of a VM that fits nowhere with every host’s reason, and keeps nothing', async () => {
    await removeOwn(world);
    const before = await holdings(world);
    const ref = await begin(world, 'giant', { memoryBytes: 2 ** 43 });
    const task = await world.rest.ended(ref);
    expect(task).toMatchObject({ kind: createVm.name, state: 'failed', error: { code: 'NO_CAPACITY' } });
    const { refusals } = task.error!.details as { refusals: { hostName: string; reason: string }[] };
    expect(refusals.map((refusal) => `${refusal.hostName} ${refusal.reason}`).sort()).toEqual(['host1 memory', 'host2 memory', 'host3 memory']);
    expect(await holdings(world)).toEqual(before);
  });
});

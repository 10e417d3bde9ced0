// Network's comparisons through its own service, against hosts that a test fills: strays go, what VMs lack is made, what nobody
// knows is kept in mind.
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { createPortGroup, createSwitch, driftOperations, listPorts, networkTask, provisionPort, standingVms, type FindingId, type NicId, type SwitchId, type VmId } from '#contracts';
import { newUuid } from '#kernel';
import { Db } from '#service';
import { DriftKeeper, silentTaskLog } from '#testing';
import { Pool } from '../../../../test/integration/pool.fixture.ts';
import { networkService } from '../../network.definition.ts';
import { SwitchApplier } from '../switch/switch.applier.ts';
import { addressDrift } from './address.drift.ts';
import { switchDrift } from './switch.drift.ts';

let pool: Pool;
let keeper: DriftKeeper;
let switchId: SwitchId;
/** VMs that compute says there are. */
const vms = new Set<string>();

beforeAll(async () => {
  pool = await Pool.started([networkService], 2);
  const ref = await pool.must(createSwitch, { name: 'main', uplinks: pool.hostIds.map((hostId) => ({ hostId, names: ['up0'] })) });
  await pool.ended(networkTask, ref);
  switchId = ref.objectId as SwitchId;
  pool.answer(standingVms, ({ vmIds = [] }) => ({ vms: vmIds.filter((vmId) => vms.has(vmId)).map((vmId) => ({ vmId, name: 'x', hostId: null, state: 'running' as const, taskId: null, claimHeld: true, demand: { vcpus: 1, memoryBytes: 64 * 1024 * 1024, cpuReservedMhz: 0, memoryReservedBytes: 0 }, version: 1 })) }));
  const [service] = pool.services;
  const db = service!.get<DataSource>(Db);
  keeper = new DriftKeeper({ service: 'network', db, log: silentTaskLog, settings: { everyMs: 1_000, keepDays: 30, acts: true } });
  keeper.use([switchDrift(db, pool.bus, service!.get(SwitchApplier)), addressDrift(db, pool.bus)]);
}, 60_000);
beforeEach(async () => {
  await pool.rows('network', "UPDATE relay_lease SET holder = NULL WHERE name = 'drift'");
  await pool.rows('network', 'DELETE FROM drift_finding');
});
afterAll(() => pool.stop(), 30_000);

const look = async (times = 3): Promise<void> => { for (let time = 0; time < times; time++) await keeper.look(new AbortController().signal); };
const found = () => pool.rows<{ id: FindingId; kind: string; state: string; object_id: string; reason: string | null }>('network', 'SELECT id, kind, state, object_id, reason FROM drift_finding ORDER BY kind');
const short = async () => (await found()).map(({ kind, state }) => `${kind} ${state}`);

it('a pool in order has no findings', async () => {
  pool.host(0).ports.push({ ifname: 'tap1', bridge: 'br-1', kind: 'nic', vmId: newUuid(), nicId: newUuid(), owned: true });
  await look();
  expect(await found()).toEqual([]);
});

it('strays go and what a VM lacks is made, on their hosts; a tap that QEMU has lost is said to be lost', async () => {
  const [vmId, nicId, dead] = [newUuid() as VmId, newUuid() as NicId, newUuid() as NicId];
  pool.host(0).ports.push({ ifname: 'tap2', bridge: 'br-1', kind: 'nic', vmId: newUuid(), nicId: newUuid(), owned: false });
  pool.host(1).missing.push({ vmId, nicId, ifname: 'tap3', tap: true }, { vmId, nicId: dead, ifname: 'tap4', tap: false });
  await look();
  expect((await found()).map(({ kind, state, object_id }) => `${kind} ${object_id} ${state}`).sort()).toEqual([`port-missing ${nicId} repaired`, `port-missing ${dead} found`, 'port-stray tap2 repaired'].sort());
  expect((await found()).find(({ object_id }) => object_id === dead)?.reason).toContain('lost the tap');
  expect([pool.host(0).ports.map(({ ifname }) => ifname), pool.host(1).missing.length]).toEqual([['tap1'], 1]);
  pool.host(1).missing.length = 0;
});

it('a switch that a host has lost is given to it anew; one that nobody knows is kept until a person says', async () => {
  pool.host(0).switches.delete(switchId);
  const unknown = newUuid();
  pool.host(1).switches.set(unknown, { mtu: 1500, uplinks: [], generation: 1 });
  pool.host(1).ports.push({ ifname: 'mirror0', bridge: 'br-1', kind: 'foreign', vmId: null, nicId: null, owned: false });
  await look();
  expect(await short()).toEqual(['port-foreign quarantined', 'switch-missing repaired', 'switch-unknown quarantined']);
  expect([pool.host(0).switches.has(switchId), pool.host(1).switches.has(unknown)]).toEqual([true, true]);
  const { repair, get } = driftOperations('network');
  for (const { id: findingId } of (await found()).filter(({ state }) => state === 'quarantined')) {
    expect(await pool.ask(repair, { findingId })).toMatchObject({ ok: false, fault: { code: 'CONFIRMATION_NEEDED' } });
    expect(await pool.must(get, { findingId })).toMatchObject({ state: 'quarantined', final: true });
  }
  // The service carries out what a person says; its own keeper has the same sources.
  for (const { id: findingId } of (await found()).filter(({ state }) => state === 'quarantined')) expect(await pool.must(repair, { findingId, confirm: true })).toMatchObject({ state: 'repaired' });
  expect([pool.host(1).switches.has(unknown), pool.host(1).ports]).toEqual([false, []]);
});

it('addresses of a VM that is gone are given back, and those of one that is there are not', async () => {
  const portGroupId = (await pool.must(createPortGroup, { switchId, name: 'vlan7', vlan: 7 })).id;
  const [gone, there] = [newUuid() as VmId, newUuid() as VmId];
  vms.add(there);
  for (const vmId of [gone, there]) await pool.must(provisionPort, { portId: newUuid(), vmId, nicId: newUuid(), portGroupId, ip: null, mac: null, ownerId: null, folderId: null });
  await look();
  expect(await short()).toEqual(['address-stray repaired']);
  expect((await pool.must(listPorts, {})).items.map(({ vmId }) => vmId)).toEqual([there]);
});

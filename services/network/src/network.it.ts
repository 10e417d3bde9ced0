import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  checkPortGroups, createPortGroup, createSubnet, createSwitch, deletePortGroup, deleteSubnet, deleteSwitch, discardPorts, getSubnet, getSwitch, listPorts, listSwitches, movePort, networkTask, provisionPort,
  updatePortGroup, updateSwitch, wiringOfVm,
} from '#contracts';
import type { NicId, PortGroupId, PortId, ReplyOf, SwitchId, VmId } from '#contracts';
import { newUuid } from '#kernel';
import { until } from '#testing';
import { Pool } from '../../../test/integration/pool.fixture.ts';
import { networkService } from '../network.definition.ts';

let pool: Pool;
beforeAll(async () => { pool = await Pool.started([networkService], 3); }, 60_000);
afterAll(() => pool.stop(), 30_000);

let counter = 0;
const fresh = (what: string): string => `${what} ${++counter}`;
const codeOf = (answer: { ok: boolean; fault?: { code: string } }): string => (answer.ok ? 'OK' : (answer.fault?.code ?? ''));
const uplinksOf = (...hosts: number[]) => hosts.map((index) => ({ hostId: pool.hostIds[index]!, names: ['up0'] }));

async function made(input: { uplinks?: ReturnType<typeof uplinksOf>; mtu?: number } = {}): Promise<SwitchId> {
  const ref = await pool.must(createSwitch, { name: fresh('switch'), ...input });
  expect(await pool.ended(networkTask, ref)).toMatchObject({ state: 'succeeded' });
  return ref.objectId as SwitchId;
}
async function group(vlan = 10): Promise<PortGroupId> {
  return (await pool.must(createPortGroup, { switchId: await made({ uplinks: uplinksOf(0) }), name: fresh('group'), vlan })).id;
}
const nic = (portGroupId: PortGroupId, more: { ip?: string; mac?: string; vmId?: VmId } = {}) => ({
  portId: newUuid() as PortId, vmId: more.vmId ?? (newUuid() as VmId), nicId: newUuid() as NicId, portGroupId, ip: more.ip ?? null, mac: more.mac ?? null, ownerId: null, folderId: null,
});

describe('a dry run', () => {
  it('of switches, port groups, subnets and ports leaves nothing on the hosts and nothing in the schema', async () => {
    const portGroupId = await group();
    const switchId = await made();
    expect(await pool.foretold(createSwitch, { name: fresh('switch'), uplinks: uplinksOf(0) })).toMatchObject({ task: 'network.switch.create', succeeds: true });
    expect(await pool.foretold(updateSwitch, { switchId, mtu: 9000 })).toMatchObject({ task: 'network.switch.update' });
    expect(await pool.foretold(deleteSwitch, { switchId })).toMatchObject({ task: 'network.switch.delete' });
    expect(await pool.foretold(createPortGroup, { switchId, name: 'later', vlan: 7 })).toMatchObject({ task: null, result: { name: 'later', vlan: 7 } });
    expect(await pool.foretold(createSubnet, { portGroupId, name: fresh('net'), cidr: '10.77.0.0/24' })).toMatchObject({ result: { cidr: '10.77.0.0/24' } });
    expect(await pool.foretold(provisionPort, nic(portGroupId))).toMatchObject({ decisions: [{ text: 'the NIC gets no address: its port group has no subnet' }] });
    expect(await pool.foretold(deletePortGroup, { portGroupId })).toMatchObject({ result: {} });
  });
});

describe('a distributed switch', () => {
  it('is made on the hosts of its uplinks, changed there and removed', async () => {
    const id = await made({ uplinks: uplinksOf(0, 1), mtu: 9000 });
    expect(await pool.must(getSwitch, { switchId: id })).toMatchObject({ mtu: 9000, hosts: [{ state: 'applied' }, { state: 'applied' }] });
    expect(pool.host(0).switches.get(id)).toMatchObject({ mtu: 9000, uplinks: ['up0'] });
    const changed = await pool.must(updateSwitch, { switchId: id, uplinks: uplinksOf(1, 2), mtu: 1400 });
    expect(await pool.ended(networkTask, changed)).toMatchObject({ state: 'succeeded' });
    expect([0, 1, 2].map((index) => pool.host(index).switches.get(id)?.mtu)).toEqual([undefined, 1400, 1400]);
    const gone = await pool.must(deleteSwitch, { switchId: id });
    expect(await pool.ended(networkTask, gone)).toMatchObject({ state: 'succeeded' });
    expect(pool.hosts.some((host) => host.switches.has(id))).toBe(false);
    expect(codeOf(await pool.ask(getSwitch, { switchId: id }))).toBe('NOT_FOUND');
    expect(await pool.rows('network', 'SELECT id FROM dvswitch WHERE id = ?', [id])).toEqual([]);
  });

  it('that a host refuses is undone everywhere, and the change of one goes back to what was', async () => {
    pool.host(1).badUplinks.add('nope');
    const bad = [uplinksOf(0)[0]!, { hostId: pool.hostIds[1]!, names: ['nope'] }];
    const ref = await pool.must(createSwitch, { name: fresh('switch'), uplinks: bad });
    expect(await pool.ended(networkTask, ref)).toMatchObject({ state: 'failed', error: { code: 'HOST_COMMAND_FAILED' } });
    expect(pool.host(0).switches.has(ref.objectId)).toBe(false);
    expect(codeOf(await pool.ask(getSwitch, { switchId: ref.objectId }))).toBe('NOT_FOUND');

    const id = await made({ uplinks: uplinksOf(0), mtu: 1500 });
    const change = await pool.must(updateSwitch, { switchId: id, uplinks: bad, mtu: 9000 });
    expect(await pool.ended(networkTask, change)).toMatchObject({ state: 'failed' });
    const after = await until('the switch is applied', async () => { const found = await pool.must(getSwitch, { switchId: id }); return found.hosts.length === 1 && found.hosts[0]?.state === 'applied' ? found : undefined; });
    expect(after).toMatchObject({ mtu: 1500, uplinks: uplinksOf(0) });
    expect(pool.host(0).switches.get(id)?.mtu).toBe(1500);
  });

  it('waits for a host that is away, and is applied when it comes', async () => {
    await pool.hostsAre('not-responding', [pool.hostIds[2]!], 'network');
    const id = await made({ uplinks: uplinksOf(0, 2) });
    const states = async () => new Map((await pool.must(getSwitch, { switchId: id })).hosts.map((host) => [host.hostId, host.state]));
    expect((await states()).get(pool.hostIds[2]!)).toBe('pending');
    expect(pool.host(2).switches.has(id)).toBe(false);
    await pool.hostsAre('connected', [pool.hostIds[2]!], 'network');
    await until('the third host has it', async () => ((await states()).get(pool.hostIds[2]!) === 'applied' ? true : undefined));
    expect(pool.host(2).switches.has(id)).toBe(true);
  });

  it('has a name of its own, whichever of two wins, and one version', async () => {
    const name = fresh('raced');
    const codes = (await Promise.all([pool.ask(createSwitch, { name }), pool.ask(createSwitch, { name })])).map(codeOf).sort();
    expect(codes).toEqual(['NAME_TAKEN', 'OK']);
    const id = await made();
    expect(codeOf(await pool.ask(updateSwitch, { switchId: id, mtu: 1400, version: 99 }))).toBe('VERSION_CONFLICT');
    const key = newUuid();
    const twice = fresh('twice');
    expect(await pool.ask(createSwitch, { name: twice }, key)).toEqual(await pool.ask(createSwitch, { name: twice }, key));
    expect(codeOf(await pool.ask(createSwitch, { name: fresh('other') }, key))).toBe('IDEMPOTENCY_KEY_REUSED');
  });

  it('is hidden from and kept from those without the right', async () => {
    const id = await made();
    const stranger = await pool.user(['vm.read']);
    const reader = await pool.user(['network.read'], 'object', id);
    expect(codeOf(await stranger.ask(listSwitches, {}))).toBe('PERMISSION_DENIED');
    const seen = await reader.ask(listSwitches, {});
    expect(seen.ok && seen.value.items.map((item) => item.id)).toEqual([id]);
    expect(codeOf(await reader.ask(deleteSwitch, { switchId: id }))).toBe('PERMISSION_DENIED');
    const elsewhere = await pool.user(['network.read', 'network.write'], 'object', newUuid());
    expect(codeOf(await elsewhere.ask(getSwitch, { switchId: id }))).toBe('NOT_FOUND');
    expect(codeOf(await elsewhere.ask(deleteSwitch, { switchId: id }))).toBe('NOT_FOUND');
    expect(codeOf(await elsewhere.ask(createSwitch, { name: fresh('x') }))).toBe('PERMISSION_DENIED');
  });
});

describe('a port', () => {
  it('moves to another port group with its MAC, back to the address it had, and is given back alone', async () => {
    const [from, to] = [await group(10), await group(20)];
    await pool.must(createSubnet, { portGroupId: from, name: fresh('net'), cidr: '10.3.0.0/29' });
    await pool.must(createSubnet, { portGroupId: to, name: fresh('net'), cidr: '10.4.0.0/29' });
    const one = nic(from);
    const two = nic(from, { vmId: one.vmId });
    const was = await pool.must(provisionPort, one);
    await pool.must(provisionPort, two);
    const moved = await pool.must(movePort, { portId: one.portId, portGroupId: to, ip: null });
    expect(moved).toMatchObject({ id: was.id, nicId: one.nicId, mac: was.mac, portGroupId: to, ip: '10.4.0.1' });
    expect(await pool.must(movePort, { portId: one.portId, portGroupId: to, ip: null })).toMatchObject({ ip: '10.4.0.1', version: moved.version });
    expect((await pool.must(wiringOfVm, { vmId: one.vmId })).nics.find(({ nicId }) => nicId === one.nicId)).toMatchObject({ vlan: 20, ip: '10.4.0.1' });
    expect(codeOf(await pool.ask(movePort, { portId: two.portId, portGroupId: to, ip: '10.4.0.1' }))).toBe('ADDRESS_TAKEN');
    expect(codeOf(await pool.ask(movePort, { portId: two.portId, portGroupId: newUuid(), ip: null }))).toBe('NOT_FOUND');
    expect(codeOf(await pool.ask(movePort, { portId: newUuid(), portGroupId: to, ip: null }))).toBe('NOT_FOUND');
    expect(await pool.must(movePort, { portId: one.portId, portGroupId: from, ip: was.ip })).toMatchObject({ portGroupId: from, ip: was.ip });
    await pool.must(discardPorts, { vmId: one.vmId, nicId: one.nicId });
    expect((await pool.must(listPorts, { vmId: one.vmId })).items.map(({ nicId }) => nicId)).toEqual([two.nicId]);
  });
});

describe('port groups and subnets', () => {
  it('stand in each other’s way when they are deleted', async () => {
    const portGroupId = await group();
    const subnet = await pool.must(createSubnet, { portGroupId, name: fresh('net'), cidr: '10.1.0.0/24', gateway: '10.1.0.1' });
    expect(subnet).toMatchObject({ range: { from: '10.1.0.1', to: '10.1.0.254' }, addresses: { total: 253, used: 0 } });
    expect(codeOf(await pool.ask(createSubnet, { portGroupId, name: fresh('net'), cidr: '10.2.0.0/24' }))).toBe('IN_USE');
    const port = nic(portGroupId);
    await pool.must(provisionPort, port);
    expect(codeOf(await pool.ask(deletePortGroup, { portGroupId }))).toBe('IN_USE');
    expect(codeOf(await pool.ask(deleteSubnet, { subnetId: subnet.id }))).toBe('IN_USE');
    await pool.must(discardPorts, { vmId: port.vmId });
    await pool.must(deleteSubnet, { subnetId: subnet.id });
    const renamed = await pool.must(updatePortGroup, { portGroupId, name: fresh('renamed') });
    expect(renamed.version).toBe(2);
    expect(codeOf(await pool.ask(updatePortGroup, { portGroupId, description: 'x', version: 1 }))).toBe('VERSION_CONFLICT');
    await pool.must(deletePortGroup, { portGroupId });
    const busy = await group();
    const [{ switchId }] = await pool.rows<{ switchId: SwitchId }>('network', 'SELECT switch_id AS switchId FROM port_group WHERE id = ?', [busy]) as [{ switchId: SwitchId }];
    expect(codeOf(await pool.ask(deleteSwitch, { switchId }))).toBe('IN_USE');
  });

  it.each([
    ['a net with host bits', { cidr: '10.0.0.1/24' }, 'cidr'], ['no hosts', { cidr: '10.0.0.0/31' }, 'cidr'], ['a gateway outside', { cidr: '10.0.0.0/24', gateway: '10.0.1.1' }, 'gateway'],
    ['a range outside', { cidr: '10.0.0.0/24', range: { from: '10.0.0.0', to: '10.0.0.9' } }, 'range.from'], ['not a net', { cidr: "10.0.0.0/24'; DROP TABLE subnet" }, 'cidr'],
  ])('refuses %s with the field', async (_what, input, path) => {
    const answer = await pool.ask(createSubnet, { portGroupId: await group(), name: fresh('net'), ...input });
    expect(answer).toMatchObject({ ok: false, fault: { code: 'INVALID_ARGUMENT', details: { issues: [{ path }] } } });
  });
});

describe('the port of a NIC', () => {
  it('gets an address of its own, however many are asked for at once', async () => {
    const portGroupId = await group();
    const subnet = await pool.must(createSubnet, { portGroupId, name: fresh('net'), cidr: '10.3.0.0/25', gateway: '10.3.0.1' });
    const ports = await Promise.all(Array.from({ length: 100 }, () => pool.must(provisionPort, nic(portGroupId))));
    expect(new Set(ports.map((port) => port.ip)).size).toBe(100);
    expect(new Set(ports.map((port) => port.mac)).size).toBe(100);
    expect(ports.map((port) => port.ip)).not.toContain('10.3.0.1');
    expect((await pool.must(getSubnet, { subnetId: subnet.id })).addresses).toEqual({ total: 125, used: 100 });
  }, 30_000);

  it('is refused one when all are assigned, and gets it when one is given back', async () => {
    const portGroupId = await group();
    await pool.must(createSubnet, { portGroupId, name: fresh('net'), cidr: '10.4.0.0/29', gateway: '10.4.0.1', range: { from: '10.4.0.2', to: '10.4.0.3' } });
    const [first] = [nic(portGroupId), await pool.must(provisionPort, nic(portGroupId))];
    await pool.must(provisionPort, first);
    expect(codeOf(await pool.ask(provisionPort, nic(portGroupId)))).toBe('NO_FREE_ADDRESS');
    await pool.must(discardPorts, { vmId: first.vmId });
    expect((await pool.must(provisionPort, nic(portGroupId))).ip).toBe('10.4.0.3');
  });

  it('can have a wanted address and MAC that nobody has', async () => {
    const portGroupId = await group();
    await pool.must(createSubnet, { portGroupId, name: fresh('net'), cidr: '10.5.0.0/24', gateway: '10.5.0.1', range: { from: '10.5.0.1', to: '10.5.0.9' } });
    const wanted = nic(portGroupId, { ip: '10.5.0.7', mac: '52:54:00:aa:00:01' });
    const port = await pool.must(provisionPort, wanted);
    expect(port).toMatchObject({ ip: '10.5.0.7', mac: '52:54:00:aa:00:01' });
    expect(await pool.must(provisionPort, wanted)).toEqual(port);
    expect(codeOf(await pool.ask(provisionPort, nic(portGroupId, { ip: '10.5.0.7' })))).toBe('ADDRESS_TAKEN');
    expect(codeOf(await pool.ask(provisionPort, nic(portGroupId, { mac: '52:54:00:aa:00:01' })))).toBe('ADDRESS_TAKEN');
    for (const ip of ['10.5.0.10', '10.5.0.1', '10.6.0.1']) {
      expect(await pool.ask(provisionPort, nic(portGroupId, { ip }))).toMatchObject({ ok: false, fault: { code: 'INVALID_ARGUMENT', details: { issues: [{ path: 'ip' }] } } });
    }
    expect(codeOf(await pool.ask(provisionPort, nic(await group(), { ip: '10.5.0.8' })))).toBe('INVALID_ARGUMENT');
  });

  it('tells a host all it needs to plug the NIC in', async () => {
    const portGroupId = await group(42);
    await pool.must(createSubnet, { portGroupId, name: fresh('net'), cidr: '10.7.0.0/24', gateway: '10.7.0.1', dns: ['9.9.9.9'] });
    const vmId = newUuid() as VmId;
    const port = await pool.must(provisionPort, nic(portGroupId, { vmId }));
    const wiring: ReplyOf<typeof wiringOfVm> = await pool.must(wiringOfVm, { vmId });
    expect(wiring).toMatchObject({ hostIds: [pool.hostIds[0]], nics: [{ portId: port.id, vlan: 42, mtu: 1500, ip: '10.7.0.2', subnet: { network: '10.7.0.0', prefix: 24, gateway: '10.7.0.1', dns: ['9.9.9.9'] } }] });
    expect(await pool.must(wiringOfVm, { vmId: newUuid() })).toEqual({ nics: [], hostIds: null });
    expect(await pool.must(checkPortGroups, { portGroupIds: [portGroupId] })).toEqual({ hostIds: [pool.hostIds[0]] });
    expect(codeOf(await pool.ask(checkPortGroups, { portGroupIds: [newUuid() as PortGroupId] }))).toBe('NOT_FOUND');
    expect((await pool.must(listPorts, { ip: '10.7.0.2', vmId })).items.map((item) => item.id)).toEqual([port.id]);
  });
});

// The switch driver on a real Open vSwitch: what a VM may send, which address it gets, and what is left after each end.
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostNic, InputOf, hostSwitchApply } from '#contracts';
import { NicId, PortGroupId, PortId, SubnetId, SwitchId } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import type { SwitchDriver } from '../drivers.ts';
import { outputOf } from '../run-command.ts';
import { bridgeName, dhcpPortName, tapName } from './names.ts';
import { until } from '#testing';
import { SwitchLab, inside } from './switch-lab.testing.ts';
import type { TestVm } from './switch-lab.testing.ts';
import { createSwitchDriver } from './switch.driver.ts';

jest.setTimeout(120_000);

const switchId = SwitchId.parse(newUuid());
const bridge = bridgeName(switchId);
const uid = 251_001;
const groups = { red: PortGroupId.parse(newUuid()), blue: PortGroupId.parse(newUuid()), plain: PortGroupId.parse(newUuid()) };
const subnet = { subnetId: SubnetId.parse(newUuid()), network: '10.77.0.0', prefix: 24, gateway: '10.77.0.1', dns: ['10.77.0.53'], leaseSeconds: 600 };
let lastMac = 16;
function nicOf(portGroupId: PortGroupId, vlan: number, ip: string | null): HostNic {
  lastMac += 1;
  return {
    nicId: NicId.parse(newUuid()), slot: 0, portId: PortId.parse(newUuid()), portGroupId, switchId, mac: `52:54:00:00:77:${lastMac.toString(16)}`, vlan, mtu: 1400,
    ip, subnet: ip === null ? null : subnet, bootIndex: null,
  };
}
const applied = (change: Partial<InputOf<typeof hostSwitchApply>> = {}): InputOf<typeof hostSwitchApply> => ({ commandId: 'c', switchId, name: 'main', mtu: 1500, uplinks: ['up'], generation: 1, ...change });

let lab: SwitchLab;
let uplink = '';
let driver: SwitchDriver;
const newDriver = (): Promise<SwitchDriver> => createSwitchDriver({ rundir: lab.rundir, uplinks: { up: 'up0' }, stateDir: lab.stateDir, namespace: lab.namespace, watchEveryMs: 50 });
/** Sends a DHCP reply to everybody, from the port of a server. */
const forgedReply = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, 25, b'e0\\0')
s.bind(('', 67))
s.sendto(bytes([2, 1, 6, 0]) + bytes(232) + bytes.fromhex('63825363350105ff'), ('255.255.255.255', 68))
`;
const rules = async (): Promise<string[]> => (await lab.flows(bridge)).split('\n').sort();
const vmA = newUuid();
const vmB = newUuid();
const nics = { a: nicOf(groups.red, 20, '10.77.0.11'), b: nicOf(groups.red, 20, '10.77.0.12'), c: nicOf(groups.blue, 30, '10.77.0.13') };
const vms: { a?: TestVm; b?: TestVm; c?: TestVm } = {};
const vm = (name: 'a' | 'b' | 'c'): TestVm => vms[name] ?? (() => { throw new Error(`VM ${name} was not started`); })();

beforeAll(async () => {
  lab = await SwitchLab.start();
  uplink = await lab.addUplink('up0');
  driver = await newDriver();
  orThrow(await driver.apply(applied()));
  for (const [name, nic] of Object.entries(nics) as ['a' | 'b' | 'c', HostNic][]) {
    const { ifname } = orThrow(await driver.attach(name === 'b' ? vmB : vmA, nic, uid));
    vms[name] = await lab.addVm(name, ifname, nic.mac);
  }
});
afterAll(async () => {
  await driver.stop();
  await lab.stop();
});

describe('a distributed switch on a host', () => {
  it('is applied with its generation, again and again with the same outcome', async () => {
    expect(await driver.appliedGeneration(switchId)).toBe(1);
    const before = await rules();
    expect(orThrow(await driver.apply(applied()))).toEqual({ bridge });
    expect(await rules()).toEqual(before);
    orThrow(await driver.apply(applied({ generation: 2 })));
    expect(await driver.appliedGeneration(switchId)).toBe(2);
    expect(await driver.appliedGeneration(newUuid())).toBeNull();
  });

  it('refuses an uplink that the host does not have, and changes nothing', async () => {
    const other = SwitchId.parse(newUuid());
    const refusal = await driver.apply(applied({ switchId: other, uplinks: ['sideways'] }));
    expect(refusal).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED' } });
    expect(await lab.links()).not.toContain(bridgeName(other));
  });

  it('is not removed while VMs use it', async () => {
    const refusal = await driver.remove(switchId);
    expect(refusal).toMatchObject({ ok: false, fault: { code: 'IN_USE' } });
    if (!refusal.ok) expect((refusal.fault.details?.['by'] as { id: string }[]).map(({ id }) => id).sort()).toEqual([vmA, vmB].sort());
  });
});

describe('DHCP', () => {
  it('gives each NIC exactly its assigned address with router, DNS and MTU', async () => {
    await vm('a').dhcp();
    await vm('b').dhcp();
    const [a, b] = [await vm('a').lease(), await vm('b').lease()];
    expect(a).toBe('bound ip=10.77.0.11 mask=255.255.255.0 router=10.77.0.1 dns=10.77.0.53 mtu=1400 lease=600 server=169.254.169.253');
    expect(b).toContain('ip=10.77.0.12 ');
  });

  it('renews by unicast', async () => {
    const [client] = [await vm('c').dhcp()];
    await vm('c').lease();
    await vm('c').run('ip', 'neighbour', 'replace', '10.77.0.1', 'lladdr', '52:54:00:00:99:99', 'dev', 'e0', 'nud', 'permanent');
    client.client.kill('SIGUSR1');
    expect(await until('the renewal', () => vm('c').event('renew'))).toContain('ip=10.77.0.13 ');
  });

  it('says nothing to a MAC that has no address here', async () => {
    const nic = nicOf(groups.plain, 20, null);
    const { ifname } = orThrow(await driver.attach(newUuid(), nic, uid));
    const stranger = await lab.addVm('x', ifname, nic.mac);
    const { ended } = await stranger.dhcp(3);
    expect(await ended).not.toBe(0);
    expect(await stranger.event('bound')).toBeUndefined();
  });
});

describe('traffic', () => {
  it('passes between NICs of one VLAN and not to another', async () => {
    expect(await vm('a').ping('10.77.0.12')).toBe(true);
    // Same subnet, both with their own addresses: only the VLAN stands between them.
    expect(await vm('a').ping('10.77.0.13')).toBe(false);
  });

  it('with a foreign source address or MAC is dropped, and flows again when it is the own', async () => {
    await vm('a').run('ip', 'address', 'add', '10.77.0.66/24', 'dev', 'e0');
    expect((await vm('a').try('ping', '-n', '-c', '2', '-i', '0.2', '-W', '1', '-I', '10.77.0.66', '10.77.0.12')).code).not.toBe(0);
    await vm('a').run('ip', 'address', 'delete', '10.77.0.66/24', 'dev', 'e0');
    await vm('a').run('ip', 'link', 'set', 'e0', 'address', '52:54:00:66:66:66');
    expect(await vm('a').ping('10.77.0.12')).toBe(false);
    await vm('a').run('ip', 'link', 'set', 'e0', 'address', nics.a.mac);
    expect(await vm('a').ping('10.77.0.12')).toBe(true);
  });

  it('leaves by the uplink with the tag of the port group, and DHCP requests never do', async () => {
    const seen = await runUplinkCapture();
    expect(seen.some((frame) => frame.includes('81000014') && frame.includes('0a4d000b'))).toBe(true);
    expect(seen.some((frame) => frame.includes('00440043'))).toBe(false);
  });

  it('of a DHCP server in a VM reaches no other NIC', async () => {
    const before = (await vm('b').allEvents('bound')).length;
    const config = join(lab.directory, 'rogue.conf');
    await writeFile(config, 'port=0\nleasefile-ro\nno-ping\nbind-interfaces\ninterface=e0\ndhcp-authoritative\ndhcp-range=10.77.0.100,10.77.0.120\nkeep-in-foreground\nlog-facility=/dev/null\n');
    for (let count = 0; count < 3; count += 1) orThrow(await outputOf(inside(vm('a').namespace, '/usr/bin/python3', '-c', forgedReply), { deadlineMs: 10_000 }));
    await until('the drops', async () => (await lab.flowPackets(bridge, `in_port=${tapName(nics.a.nicId)},tp_src=67`)) >= 3);
    const rogue = lab.spawnIn(vm('a').namespace, 'dnsmasq', `--conf-file=${config}`, `--pid-file=${join(lab.directory, 'rogue.pid')}`);
    await vm('b').dhcp();
    await until('a lease', async () => (await vm('b').allEvents('bound')).length > before);
    expect((await vm('b').allEvents('bound')).every((line) => line.includes(`ip=${nics.b.ip} `))).toBe(true);
    rogue.kill('SIGKILL');
  });

  /** Hex of the frames that reach the physical network while `a` looks for a neighbour there and asks for an address. */
  async function runUplinkCapture(): Promise<string[]> {
    const file = join(lab.directory, 'wire.hex');
    const sniffer = lab.capture(uplink, 'wire', file);
    await until('the sniffer', () => readFile(file, 'utf8').catch(() => null));
    await vm('b').dhcp(2);
    await vm('a').try('ping', '-n', '-c', '1', '-W', '1', '10.77.0.200');
    const frames = await until('a tagged frame', async () => {
      const lines = (await readFile(file, 'utf8')).split('\n').filter(Boolean);
      return lines.some((line) => line.includes('81000014')) ? lines : undefined;
    });
    sniffer.kill('SIGKILL');
    return frames;
  }
});

describe('restarts', () => {
  it('of the agent find the DHCP servers again, and do not start them anew', async () => {
    const pid = (group: string): Promise<string> => readFile(join(lab.stateDir, 'dhcp', group, 'dnsmasq.pid'), 'utf8');
    const before = await pid(groups.red);
    await driver.stop();
    driver = await newDriver();
    orThrow(await driver.restore([{ vmId: vmA, uid, nics: [nics.a, nics.c] }, { vmId: vmB, uid, nics: [nics.b] }]));
    expect(await pid(groups.red)).toBe(before);
    expect((await driver.listPorts()).map((port) => port.nicId).sort()).toEqual([nics.a.nicId, nics.b.nicId, nics.c.nicId].sort());
    expect(await vm('a').ping('10.77.0.12')).toBe(true);
  });

  it('of Open vSwitch bring rules and DHCP back without being asked', async () => {
    await lab.killOvs();
    await lab.startOvs();
    await until('traffic', () => vm('a').ping('10.77.0.12'));
    await until('the rules', async () => (await lab.flows(bridge)).includes(nics.c.mac));
    const { ended } = await vm('b').dhcp(10);
    await until('a fresh lease', async () => (await vm('b').allEvents('bound')).length > 1);
    expect(ended).toBeInstanceOf(Promise);
  });

  it('remove what nobody has any more', async () => {
    orThrow(await driver.restore([{ vmId: vmA, uid, nics: [nics.a] }]));
    expect((await driver.listPorts()).map((port) => port.nicId)).toEqual([nics.a.nicId]);
    expect(await lab.links()).not.toContain(tapName(nics.b.nicId));
    expect(await lab.links()).not.toContain(dhcpPortName(groups.blue));
    expect(await lab.flows(bridge)).not.toContain(nics.b.mac);
  });
});

describe('the end', () => {
  it('gives an address that is free again to another MAC', async () => {
    const next = { ...nicOf(groups.red, 20, nics.b.ip) };
    const { ifname } = orThrow(await driver.attach(vmB, next, uid));
    const heir = await lab.addVm('h', ifname, next.mac);
    await heir.dhcp();
    expect(await heir.lease()).toContain(`ip=${nics.b.ip} `);
    orThrow(await driver.detach(vmB, 'all'));
  });

  it('moves to another port group under a VM that holds its tap', async () => {
    const first = nicOf(groups.red, 20, '10.77.0.50');
    const { ifname } = orThrow(await driver.attach(vmB, first, uid));
    const mover = await lab.addVm('m', ifname, first.mac);
    await mover.dhcp();
    expect(await mover.lease()).toContain('ip=10.77.0.50 ');
    const next = { ...nicOf(groups.blue, 30, '10.77.0.51'), nicId: first.nicId, mac: first.mac };
    expect(orThrow(await driver.attach(vmB, next, uid))).toEqual({ ifname });
    await mover.dhcp();
    await until('a lease of the other port group', async () => (await mover.allEvents('bound')).some((line) => line.includes('ip=10.77.0.51 ')));
    expect((await driver.listPorts()).filter(({ vmId }) => vmId === vmB)).toEqual([{ ifname, vmId: vmB, nicId: first.nicId }]);
    expect(await lab.flows(bridge)).not.toContain('10.77.0.50');
    orThrow(await driver.detach(vmB, 'all'));
    expect(await lab.links()).not.toContain(ifname);
  });

  it('is one NIC at a time: who has a tap and no port yet is in nobody else’s way', async () => {
    const [early, late] = [nicOf(groups.plain, 40, '10.77.0.51'), nicOf(groups.plain, 40, '10.77.0.52')];
    const broadcast = async (): Promise<string> => (await rules()).find((line) => line.includes(`in_port=${dhcpPortName(groups.plain)},`) && line.includes('ff:ff:ff:ff:ff:ff')) ?? '';
    orThrow(await driver.tap(vmA, early, uid));
    orThrow(await driver.attach(vmB, late, uid));
    expect([(await broadcast()).includes(tapName(early.nicId)), (await broadcast()).includes(tapName(late.nicId))]).toEqual([false, true]);
    orThrow(await driver.attach(vmA, early, uid));
    expect([(await broadcast()).includes(tapName(early.nicId)), (await broadcast()).includes(tapName(late.nicId))]).toEqual([true, true]);
    orThrow(await driver.detach(vmA, [early.nicId]));
    orThrow(await driver.detach(vmB, 'all'));
  });

  it('leaves nothing when an attachment fails half-way', async () => {
    const bad = { ...nicOf(groups.blue, 30, '10.77.0.40'), subnet: { ...subnet, dns: ['not-an-address'] } };
    expect(await driver.attach(vmB, bad, uid)).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED' } });
    expect(await lab.links()).not.toContain(tapName(bad.nicId));
    expect(await lab.links()).not.toContain(dhcpPortName(groups.blue));
    expect(await lab.flows(bridge)).not.toContain(bad.mac);
  });

  it('of all VMs leaves no port, rule, server or file, and the switch can go', async () => {
    orThrow(await driver.detach(vmA, 'all'));
    orThrow(await driver.detach(vmA, 'all'));
    expect(await driver.listPorts()).toEqual([]);
    expect((await lab.links()).filter((name) => /^(tap|dhc)[0-9a-f]{12}$/.test(name))).toEqual([]);
    expect((await lab.flows(bridge)).split('\n').filter((line) => line.includes('cookie=')).length).toBe(2);
    orThrow(await driver.remove(switchId));
    orThrow(await driver.remove(switchId));
    expect(await lab.links()).not.toContain(bridge);
  });
});

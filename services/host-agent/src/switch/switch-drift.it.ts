// What the switch driver says of ports that nobody has, on a real Open vSwitch, and what it removes: nothing that a VM has.
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { HostNic } from '#contracts';
import { NicId, PortGroupId, PortId, SubnetId, SwitchId } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import type { SwitchDriver } from '../drivers.ts';
import { outputOf } from '../run-command.ts';
import { bridgeName, dhcpPortName, tapName } from './names.ts';
import { SwitchLab, inside } from './switch-lab.testing.ts';
import { createSwitchDriver } from './switch.driver.ts';

jest.setTimeout(120_000);

const switchId = SwitchId.parse(newUuid());
const bridge = bridgeName(switchId);
const uid = 251_001;
const portGroupId = PortGroupId.parse(newUuid());
const subnet = { subnetId: SubnetId.parse(newUuid()), network: '10.78.0.0', prefix: 24, gateway: '10.78.0.1', dns: [], leaseSeconds: 600 };
const nicOf = (last: number): HostNic => ({ nicId: NicId.parse(newUuid()), slot: 0, portId: PortId.parse(newUuid()), portGroupId, switchId, mac: `52:54:00:00:78:${String(last)}`, vlan: 20, mtu: 1400, ip: `10.78.0.${last}`, subnet, bootIndex: null });
const [vmId, living, nic, loose] = [newUuid(), newUuid(), nicOf(11), nicOf(12)];

let lab: SwitchLab;
let driver: SwitchDriver;
beforeAll(async () => {
  lab = await SwitchLab.start();
  driver = await createSwitchDriver({ rundir: lab.rundir, uplinks: {}, stateDir: lab.stateDir, namespace: lab.namespace });
  orThrow(await driver.apply({ commandId: 'c', switchId, name: 'main', mtu: 1500, uplinks: [], generation: 7 }));
  orThrow(await driver.attach(vmId, nic, uid));
});
afterAll(async () => {
  await driver.stop();
  await lab.stop();
});

const host = async (...argv: string[]): Promise<string> => orThrow(await outputOf(inside(lab.host, ...argv), { deadlineMs: 15_000 }));
const vsctl = async (...args: string[]): Promise<void> => { expect(await lab.vsctl(...args)).toMatchObject({ code: 0 }); };
const ports = async () => Object.fromEntries(orThrow(await driver.survey()).ports.map(({ ifname, kind, owned }) => [ifname, `${kind}${owned ? '' : ' of nobody'}`]));
const remove = (ifname: string, foreign = false, mayRun = true) => driver.removeStray(ifname, foreign, () => Promise.resolve(mayRun));
const taps = async (): Promise<string> => host('ip', '-o', 'link', 'show', 'type', 'tun');

const own = { [tapName(nic.nicId)]: 'nic', [dhcpPortName(portGroupId)]: 'dhcp' };

describe('a survey', () => {
  it('names switches, and ports with whether a VM has them; the switch’s own are none', async () => {
    expect(orThrow(await driver.survey())).toMatchObject({ switches: [{ switchId, bridge, generation: 7 }], missing: [] });
    expect(await ports()).toEqual(own);
  });

  it('tells what a VM lacks, and a second attach makes it again', async () => {
    await vsctl('del-port', bridge, tapName(nic.nicId));
    expect(orThrow(await driver.survey()).missing).toEqual([{ vmId, nicId: nic.nicId, ifname: tapName(nic.nicId), tap: true }]);
    orThrow(await driver.attach(vmId, nic, uid));
    expect(orThrow(await driver.survey()).missing).toEqual([]);
    expect(await lab.flows(bridge)).toContain(nic.mac);
  });
});

describe('what nobody has', () => {
  it('is removed with its tap, and what a VM has is refused', async () => {
    const stray = newUuid();
    const ifname = tapName(stray);
    await host('ip', 'tuntap', 'add', 'dev', ifname, 'mode', 'tap');
    await host('ip', 'link', 'set', 'dev', ifname, 'alias', `tokamak:${stray}`);
    expect(await ports()).toEqual({ ...own, [ifname]: 'tap of nobody' });
    await vsctl('add-port', bridge, ifname, '--', 'set', 'port', ifname, `external_ids:tok-vm=${newUuid()}`, `external_ids:tok-nic=${stray}`, `external_ids:tok-group=${portGroupId}`);
    expect(await ports()).toEqual({ ...own, [ifname]: 'nic of nobody' });
    expect(await remove(ifname)).toMatchObject({ ok: true });
    expect(await remove(ifname)).toMatchObject({ ok: true });
    expect([await ports(), await taps()]).toEqual([own, expect.not.stringContaining(ifname)]);
    for (const name of Object.keys(own)) expect(await remove(name, true)).toMatchObject({ ok: false, fault: { code: 'IN_USE' } });
    expect(await remove(bridge, true)).toMatchObject({ ok: false, fault: { code: 'IN_USE' } });
    expect(await ports()).toEqual(own);
  });

  it('of a VM that has stopped goes with its rules; of one that is just being started it stays', async () => {
    orThrow(await driver.tap(living, loose, uid));
    expect(await remove(tapName(loose.nicId))).toMatchObject({ ok: false, fault: { code: 'IN_USE' } });
    orThrow(await driver.attach(living, loose, uid));
    expect(await remove(tapName(loose.nicId), false, false)).toMatchObject({ ok: true });
    expect(await ports()).toEqual(own);
    expect(await lab.flows(bridge)).not.toContain(loose.mac);
    expect(await lab.flows(bridge)).toContain(nic.mac);
  });

  it('and that nobody here has made is removed only when that was said', async () => {
    await host('ip', 'tuntap', 'add', 'dev', 'mirror0', 'mode', 'tap');
    await vsctl('add-port', bridge, 'mirror0');
    expect(await ports()).toEqual({ ...own, mirror0: 'foreign of nobody' });
    expect(await remove('mirror0')).toMatchObject({ ok: false, fault: { code: 'IN_USE' } });
    expect(await remove('mirror0', true)).toMatchObject({ ok: true });
    expect(await ports()).toEqual(own);
    // It was somebody’s: it is off the switch, and not deleted.
    expect(await taps()).toContain('mirror0');
  });
});

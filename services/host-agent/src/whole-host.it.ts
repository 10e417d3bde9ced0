// The agent as it is delivered, with Open vSwitch, volumes and cgroups, on a host of its own: a network namespace.
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  HostDisk, HostNic, hostDatastoreProbe, hostDatastoreScan, hostStatus, hostSwitchApply, hostSwitchRemove, hostVmDelete, hostVolumeCreate, hostVolumeDelete,
} from '#contracts';
import type { VolumePlace } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { until } from '#testing';
import { AgentLab, smallVm, uidOf } from './agent-lab.fixture.ts';
import { inside, SwitchLab } from './switch/switch-lab.testing.ts';

jest.setTimeout(60_000);

let ovs: SwitchLab;
let lab: AgentLab;
let link: ChildProcess;
const cgroupName = `tok-test-${process.pid}`;
const root = join(import.meta.dirname, '..', '..', '..');

beforeAll(async () => {
  ovs = await SwitchLab.start();
  await ovs.addUplink('up0');
  lab = await AgentLab.open();
  const port = new URL(process.env['TOK_TEST_NATS_URL'] ?? '').port;
  link = spawn(process.execPath, [join(root, 'tools/lab.d/bus-link.mjs'), ovs.host, port], { stdio: 'ignore' });
  lab.run.around.push(...inside(ovs.host));
  lab.run.program = 'host-agent';
  Object.assign(lab.run.environment, { ...ovs.env, TOK_OVS_RUNDIR: ovs.rundir, TOK_UPLINKS: JSON.stringify({ uplink0: 'up0' }), TOK_CGROUP_NAME: cgroupName });
  await lab.start();
});
afterAll(async () => {
  await lab.close();
  link.kill('SIGKILL');
  await ovs.stop();
  for (const controller of readdirSync('/sys/fs/cgroup')) {
    const group = join('/sys/fs/cgroup', controller, cgroupName);
    if (existsSync(group)) rmdirSync(group);
  }
});

test('a VM with a disk and a NIC runs, survives the agent, and leaves nothing when it is deleted', async () => {
  const { inventory } = orThrow(await lab.ask(hostStatus, {}));
  expect(inventory).toMatchObject({ name: 'test-host', datapath: 'netdev', uplinks: [{ name: 'uplink0', interface: 'up0', up: true }] });
  expect(inventory.qemuVersion).toMatch(/^\d+\.\d+/);

  const switchId = newUuid();
  orThrow(await lab.ask(hostSwitchApply, { commandId: newUuid(), switchId, name: 'switch', mtu: 1500, uplinks: ['uplink0'], generation: 1 }));
  const store = join(lab.dir, 'store');
  mkdirSync(store);
  const datastoreId = newUuid();
  orThrow(await lab.ask(hostDatastoreProbe, { datastoreId, path: store, initialise: true }));
  const volumeId = newUuid();
  const place = { volumeId, datastoreId, datastorePath: store, relativePath: `volumes/${volumeId}.qcow2`, format: 'qcow2' } as VolumePlace;
  orThrow(await lab.ask(hostVolumeCreate, { commandId: newUuid(), place, sizeBytes: 64 * 1024 * 1024, backing: null }));

  const nic = HostNic.parse({
    nicId: newUuid(), slot: 0, portId: newUuid(), portGroupId: newUuid(), switchId, mac: '52:54:00:12:34:56', vlan: 10, mtu: 1500, ip: '10.9.0.5',
    subnet: { subnetId: newUuid(), network: '10.9.0.0', prefix: 24, gateway: '10.9.0.1', dns: [], leaseSeconds: 3600 }, bootIndex: null,
  });
  const vm = smallVm(61, { disks: [{ diskId: newUuid(), slot: 0, bus: 'virtio', place, readOnly: false, bootIndex: 1 }].map((disk) => HostDisk.parse(disk)), nics: [nic] });
  const { pid } = await lab.startVm(vm);
  expect(readFileSync(`/proc/${pid}/cgroup`, 'utf8')).toContain(cgroupName);
  expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toContain(`Uid:\t${uidOf(61)}`);
  const ports = async (): Promise<string> => (await ovs.vsctl('show')).stdout;
  expect(await ports()).toMatch(/Port tap[0-9a-f]+/);

  await lab.kill();
  await lab.start();
  expect(await lab.status(vm.vmId)).toMatchObject({ state: 'running', pid });
  expect(await ports()).toMatch(/Port tap[0-9a-f]+/);

  await lab.powerOff(vm.vmId);
  orThrow(await lab.ask(hostVmDelete, { commandId: newUuid(), vmId: vm.vmId, epoch: 1 }));
  orThrow(await lab.ask(hostVolumeDelete, { commandId: newUuid(), place }));
  expect(orThrow(await lab.ask(hostDatastoreScan, { path: store })).files).toEqual([]);
  expect(await ports()).not.toMatch(/Port tap[0-9a-f]+/);
  orThrow(await lab.ask(hostSwitchRemove, { commandId: newUuid(), switchId }));
  await until('no interface is left', async () => (await ovs.links()).every((name) => !name.startsWith('tap')));
  expect(readdirSync(join(lab.dir, 'vms'))).toEqual([]);
  expect(existsSync(`/sys/fs/cgroup/cpu/${cgroupName}/${vm.vmId}`)).toBe(false);
});

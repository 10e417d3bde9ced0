// Changes to a VM that runs: real QEMU (firmware only, which lets nothing go by itself), a real agent process, killed at
// named points. What a guest would write into ACPI's eject register, the test writes.
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HostDisk, hostVmAdjust } from '#contracts';
import type { HostNic, HostVmChange, HostVmSpec } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { until } from '#testing';
import { AgentLab, smallVm } from './agent-lab.fixture.ts';
import { Monitor } from './qmp/monitor.socket.ts';

jest.setTimeout(60_000);

let lab: AgentLab;
beforeEach(async () => { lab = await AgentLab.open(); });
afterEach(() => lab.close());

/** A disk of 1 MiB whose file is there and belongs to the VM's user. */
function diskFor(vm: HostVmSpec, slot: number, bus: 'virtio' | 'scsi' = 'virtio'): HostDisk {
  const volumeId = newUuid();
  const relativePath = `volumes/${volumeId}.raw`;
  mkdirSync(join(lab.dir, 'volumes'), { recursive: true, mode: 0o755 });
  writeFileSync(join(lab.dir, relativePath), Buffer.alloc(1024 * 1024));
  chownSync(join(lab.dir, relativePath), vm.uid, vm.uid);
  return HostDisk.parse({ diskId: newUuid(), slot, bus, readOnly: false, bootIndex: null, place: { volumeId, datastoreId: newUuid(), datastorePath: lab.dir, relativePath, format: 'raw' } });
}

const adjust = (vm: HostVmSpec, change: HostVmChange, commandId: string = newUuid()) => lab.ask(hostVmAdjust, { commandId, vmId: vm.vmId, epoch: 1, change });
const attach = (disk: HostDisk): HostVmChange => ({ kind: 'attach-disk', disk });
const detach = ({ diskId }: HostDisk, waitMs = 60_000): HostVmChange => ({ kind: 'detach-disk', diskId, waitMs });
const faultOf = (result: Result<unknown>): object => (result.ok ? {} : result.fault);
const keptDisks = (vm: HostVmSpec): string[] => (JSON.parse(readFileSync(join(lab.vmDir(vm.vmId), 'vm.json'), 'utf8')) as { spec: HostVmSpec }).spec.disks.map(({ diskId }) => diskId);

/** What a guest does that lets a device go, where it has been asked to: the one behind a port, which is the only one there. */
async function ejectAsked(vm: HostVmSpec): Promise<void> {
  const [removed, eject, select] = [0x0cc0 + 0x04, 0x0cc0 + 0x08, 0x0cc0 + 0x10];
  for (let bus = 0; bus <= 10; bus++) {
    await lab.writePort(vm.vmId, 'w', select, bus);
    if ((await lab.readPort(vm.vmId, 'w', removed) & 1) === 1) await lab.writePort(vm.vmId, 'w', eject, 1);
  }
}

/** The devices of a QEMU whose agent is not connected. */
async function devicesOf(vm: HostVmSpec): Promise<{ devices: string[]; nodes: string[] }> {
  const monitor = await Monitor.connect(join(lab.vmDir(vm.vmId), 'run', 'qmp.sock'), { onEvent: () => undefined, onEnd: () => undefined });
  try {
    const own = (names: string[]): string[] => names.filter((name) => /^(disk|nic)-(virtio|scsi|\d)/.test(name));
    return { devices: own(await monitor.deviceIds()), nodes: own(await monitor.blockNodes()) };
  } finally {
    monitor.close();
  }
}

describe('a disk', () => {
  test('is attached, kept for a later start, and leaves when the guest lets it go', async () => {
    await lab.start();
    const vm = smallVm(61);
    await lab.startVm(vm);
    const disk = diskFor(vm, 0);
    expect(orThrow(await adjust(vm, attach(disk)))).toMatchObject({ state: 'running', guest: 'not-asked' });
    expect(keptDisks(vm)).toEqual([disk.diskId]);
    expect(orThrow(await adjust(vm, attach(disk)))).toMatchObject({ state: 'running' }); // sent again under another id: already so
    expect(faultOf(await adjust(vm, attach(diskFor(vm, 0))))).toMatchObject({ code: 'NO_FREE_SLOT' });

    let settled = false;
    const leaving = adjust(vm, detach(disk)).finally(() => { settled = true; });
    await until('the guest has let it go', async () => {
      if (!settled) await ejectAsked(vm);
      return settled;
    });
    expect(orThrow(await leaving)).toMatchObject({ state: 'running', guest: 'confirmed' });
    expect(keptDisks(vm)).toEqual([]);
    expect(orThrow(await adjust(vm, detach(disk)))).toMatchObject({ state: 'running' });
    expect(orThrow(await adjust(vm, attach(diskFor(vm, 0))))).toMatchObject({ state: 'running' }); // its slot is free again
    await lab.kill();
    expect(await devicesOf(vm)).toEqual({ devices: ['disk-virtio-0'], nodes: ['disk-virtio-0'] });
  });

  test('that the guest does not let go stays attached, with the reason; let go later it comes back', async () => {
    await lab.start();
    const vm = smallVm(62);
    await lab.startVm(vm);
    const disk = diskFor(vm, 0);
    orThrow(await adjust(vm, attach(disk)));
    const commandId = newUuid();
    const refused = { code: 'DEVICE_HELD', details: { device: 'disk-virtio-0', reason: 'no-answer', mountPoints: [] } };
    expect(faultOf(await adjust(vm, detach(disk, 300), commandId))).toMatchObject(refused);
    expect(faultOf(await adjust(vm, detach(disk, 300), commandId))).toMatchObject(refused); // recorded
    expect(keptDisks(vm)).toEqual([disk.diskId]);
    await ejectAsked(vm);
    await until('the agent has plugged it in again', () => lab.log().includes('too late'));
    expect(orThrow(await adjust(vm, attach(disk)))).toMatchObject({ state: 'running' });
    await lab.kill();
    expect(await devicesOf(vm)).toEqual({ devices: ['disk-virtio-0'], nodes: ['disk-virtio-0'] });
  });

  test('whose removal hangs does not keep the power on, and both are answered', async () => {
    await lab.start();
    const vm = smallVm(63);
    await lab.startVm(vm);
    const disk = diskFor(vm, 0);
    orThrow(await adjust(vm, attach(disk)));
    const hanging = adjust(vm, detach(disk));
    await until('it hangs', async () => faultCode(await adjust(vm, attach(diskFor(vm, 1)))) === 'VM_BUSY');
    expect(await lab.powerOff(vm.vmId)).toMatchObject({ state: 'stopped', exitReason: 'requested' });
    expect(faultOf(await hanging)).toMatchObject({ code: 'WRONG_STATE' });
  });

  test('for which there is no plug, or no file, is refused and leaves nothing', async () => {
    await lab.start();
    const vm = smallVm(64);
    await lab.startVm(vm);
    expect(faultOf(await adjust(vm, attach(diskFor(vm, 40))))).toMatchObject({ code: 'NO_FREE_SLOT', details: { slot: 'disk-port-40' } });
    expect(faultOf(await adjust(vm, attach(diskFor(vm, 0, 'scsi'))))).toMatchObject({ code: 'NO_FREE_SLOT', details: { slot: 'scsi' } });
    const missing = diskFor(vm, 0);
    expect(faultOf(await adjust(vm, attach({ ...missing, place: { ...missing.place, relativePath: `volumes/${newUuid()}.raw` } })))).toMatchObject({ code: 'DEVICE_REFUSED' });
    expect(keptDisks(vm)).toEqual([]);
    expect(faultOf(await adjust({ ...vm, vmId: newUuid() as HostVmSpec['vmId'] }, attach(missing)))).toMatchObject({ code: 'NOT_FOUND_ON_HOST' });
    await lab.kill();
    expect(await devicesOf(vm)).toEqual({ devices: [], nodes: [] });
  });
});

const faultCode = (result: Result<unknown>): string => (result.ok ? 'ok' : result.fault.code);

test('a NIC whose tap QEMU cannot open is refused, and document and QEMU are as before', async () => {
  await lab.start();
  const vm = smallVm(65);
  await lab.startVm(vm);
  const nic: HostNic = {
    nicId: newUuid() as HostNic['nicId'], slot: 0, portId: newUuid() as HostNic['portId'], portGroupId: newUuid() as HostNic['portGroupId'], switchId: newUuid() as HostNic['switchId'],
    mac: '52:54:00:00:00:65', vlan: 0, mtu: 1500, ip: null, subnet: null, bootIndex: null,
  };
  expect(faultOf(await adjust(vm, { kind: 'attach-nic', nic }))).toMatchObject({ code: 'DEVICE_REFUSED' });
  expect(orThrow(await adjust(vm, { kind: 'detach-nic', nicId: nic.nicId, waitMs: 1_000 }))).toMatchObject({ state: 'running' });
  await lab.kill();
  expect(await devicesOf(vm)).toEqual({ devices: [], nodes: [] });
});

describe('an agent that dies in the middle', () => {
  test('of an attachment, which the document has and QEMU has not, completes it when it is sent again', async () => {
    await lab.start({ TOK_TEST_FAULT_POINT: 'vm.adjust:kept' });
    const vm = smallVm(66);
    await lab.startVm(vm);
    const [disk, commandId] = [diskFor(vm, 0), newUuid()];
    lab.ask(hostVmAdjust, { commandId, vmId: vm.vmId, epoch: 1, change: attach(disk) }).catch(() => undefined);
    await lab.ended();
    await lab.start();
    expect(orThrow(await adjust(vm, attach(disk), commandId))).toMatchObject({ state: 'running' });
    expect(keptDisks(vm)).toEqual([disk.diskId]);
    await lab.kill();
    expect(await devicesOf(vm)).toEqual({ devices: ['disk-virtio-0'], nodes: ['disk-virtio-0'] });
  });

  test('of an attachment leaves nothing when it is taken back instead', async () => {
    await lab.start({ TOK_TEST_FAULT_POINT: 'vm.adjust:kept' });
    const vm = smallVm(67);
    await lab.startVm(vm);
    const disk = diskFor(vm, 0);
    adjust(vm, attach(disk)).catch(() => undefined);
    await lab.ended();
    await lab.start();
    expect(orThrow(await adjust(vm, detach(disk)))).toMatchObject({ state: 'running' });
    expect(keptDisks(vm)).toEqual([]);
  });

  test('of a removal, which the guest has allowed, finds it done', async () => {
    await lab.start({ TOK_TEST_FAULT_POINT: 'vm.adjust:unplugged' });
    const vm = smallVm(68);
    await lab.startVm(vm);
    const [disk, commandId] = [diskFor(vm, 0), newUuid()];
    orThrow(await adjust(vm, attach(disk)));
    let dead = false;
    adjust(vm, detach(disk), commandId).catch(() => undefined);
    void lab.ended().then(() => { dead = true; });
    await until('the guest has let it go', async () => {
      await ejectAsked(vm);
      return dead;
    });
    await lab.start();
    expect(orThrow(await adjust(vm, detach(disk), commandId))).toMatchObject({ state: 'running' });
    expect(keptDisks(vm)).toEqual([]);
    await lab.kill();
    expect(await devicesOf(vm)).toEqual({ devices: [], nodes: [] });
  });
});

import { describe, expect, it } from '@jest/globals';
import { CreateVm, HostNic, HostVmSpec, type Vm, type VolumePlace } from '#contracts';
import { newUuid } from '#kernel';
import { hostSpecOf, type Wiring } from './host-spec.ts';
import { firstSpec } from './vm.ts';

const MiB = 1024 * 1024;
const ids = { first: newUuid(), second: newUuid(), nic: newUuid(), store: newUuid() };
const place = (volumeId: string): VolumePlace =>
  ({ volumeId, datastoreId: ids.store, datastorePath: '/data', relativePath: `volumes/${volumeId}.qcow2`, format: 'qcow2' }) as VolumePlace;
const wiring = [HostNic.omit({ slot: true, bootIndex: true }).parse({
  nicId: ids.nic, portId: newUuid(), portGroupId: newUuid(), switchId: newUuid(), mac: '02:00:00:00:00:01', vlan: 7, mtu: 1500, ip: '10.0.0.2', subnet: null,
})] as Wiring;

function vmWith(bootOrder: ('disk' | 'network' | 'cdrom')[]): Vm {
  const spec = firstSpec(CreateVm.parse({ name: 'x', bootOrder }), null);
  const disks = [ids.first, ids.second].map((volumeId, slot) => ({ diskId: newUuid(), slot, volumeId, datastoreId: ids.store, sizeBytes: MiB, bus: 'virtio', readOnly: slot === 1 }));
  const nics = [{ nicId: ids.nic, slot: 0, portId: newUuid(), portGroupId: newUuid(), mac: '02:00:00:00:00:01', ip: '10.0.0.2' }];
  return { id: newUuid(), name: 'x', uid: 200_001, spec: { ...spec, disks, nics } } as unknown as Vm;
}

describe('what a host gets', () => {
  const places = [place(ids.second), place(ids.first)];

  it('is a whole document: every disk at its place, every NIC with its wiring', () => {
    const spec = HostVmSpec.parse(hostSpecOf(vmWith(['disk']), places, wiring));
    expect(spec.disks.map((disk) => [disk.slot, disk.place.volumeId, disk.readOnly])).toEqual([[0, ids.first, false], [1, ids.second, true]]);
    expect(spec.nics[0]).toMatchObject({ nicId: ids.nic, vlan: 7, ip: '10.0.0.2', slot: 0 });
    expect(spec.uid).toBe(200_001);
  });

  it.each([
    [['disk'], [1, 2], null],
    [['network', 'disk'], [65, 66], 1],
    [['disk', 'network'], [1, 2], 65],
    [['cdrom'], [null, null], null],
  ] as const)('boots in the order %j', (order, disks, nic) => {
    const spec = hostSpecOf(vmWith([...order]), places, wiring);
    expect([spec.disks.map((disk) => disk.bootIndex), spec.nics[0]?.bootIndex]).toEqual([disks, nic]);
  });

  it('names the TPM’s volume only when the VM has a TPM', () => {
    const vm = vmWith(['disk']);
    const tpm = newUuid();
    const kept = { ...vm, status: { tpm: { volumeId: tpm, datastoreId: ids.store } } } as Vm;
    expect(hostSpecOf({ ...kept, spec: { ...vm.spec, tpm: '2.0' } }, [...places, place(tpm)], wiring).tpm?.volumeId).toBe(tpm);
    expect(hostSpecOf(kept, [...places, place(tpm)], wiring).tpm).toBeNull();
    expect(() => hostSpecOf({ ...kept, spec: { ...vm.spec, tpm: '2.0' } }, places, wiring)).toThrow(/TPM .* has no place/);
  });

  it('names the volume of the UEFI’s variables only when the VM has no BIOS', () => {
    const vm = vmWith(['disk']);
    const vars = newUuid();
    const kept = { ...vm, status: { tpm: null, uefiVars: { volumeId: vars, datastoreId: ids.store } } } as Vm;
    for (const firmware of ['uefi', 'uefi-secure'] as const) expect(hostSpecOf({ ...kept, spec: { ...vm.spec, firmware } }, [...places, place(vars)], wiring).uefiVars?.volumeId).toBe(vars);
    expect(hostSpecOf({ ...kept, spec: { ...vm.spec, firmware: 'bios' } }, [...places, place(vars)], wiring).uefiVars).toBeNull();
    expect(() => hostSpecOf({ ...kept, spec: { ...vm.spec, firmware: 'uefi' } }, places, wiring)).toThrow(/UEFI variables .* have no place/);
  });

  it('is not made of half the answers', () => {
    expect(() => hostSpecOf(vmWith(['disk']), [place(ids.first)], wiring)).toThrow(/has no place/);
    expect(() => hostSpecOf(vmWith(['disk']), places, [])).toThrow(/is not wired/);
  });
});

// What changes make of a running VM's document, and when they count as made.
import { describe, expect, test } from '@jest/globals';
import { HostDisk, HostNic, HostVmChange, HostVmSpec } from '#contracts';
import { applied, isApplied, refusal } from './adjust.ts';

const id = (n: number): string => `01890000-0000-7000-8000-00000000000${n}`;
const disk = (n: number, slot: number, bus: 'virtio' | 'scsi' = 'virtio'): HostDisk => HostDisk.parse({
  diskId: id(n), slot, bus, readOnly: false, bootIndex: null,
  place: { volumeId: id(n), datastoreId: id(9), datastorePath: '/data', relativePath: `volumes/${id(n)}.qcow2`, format: 'qcow2' },
});
const nic = (n: number, slot: number): HostNic => HostNic.parse({
  nicId: id(n), slot, portId: id(n), portGroupId: id(8), switchId: id(7), mac: '52:54:00:00:00:01', vlan: 0, mtu: 1500, ip: null, subnet: null, bootIndex: null,
});
const spec = HostVmSpec.parse({
  vmId: id(0), name: 'n', uid: 200_001, cpu: { sockets: 1, cores: 1, threads: 1 }, cpuService: {}, memoryBytes: 16 * 1024 * 1024, memoryService: {}, firmware: 'bios',
  disks: [disk(1, 0)], nics: [nic(1, 0)],
});
const change = (of: unknown): HostVmChange => HostVmChange.parse(of);

const cases: readonly (readonly [HostVmChange, string])[] = [
  [change({ kind: 'attach-disk', disk: disk(2, 1) }), 'disk-virtio-1'],
  [change({ kind: 'attach-nic', nic: nic(2, 1) }), 'nic-1'],
  [change({ kind: 'detach-disk', diskId: id(1) }), 'disk-virtio-0'],
  [change({ kind: 'detach-nic', nicId: id(1) }), 'nic-0'],
  [change({ kind: 'change-nic', nic: { ...nic(1, 0), vlan: 20 } }), 'nic-0'],
];

describe.each(cases)('$kind', (of, device) => {
  const leaves = of.kind.startsWith('detach');
  test('made twice changes nothing more', () => {
    const once = applied(spec, of);
    expect(once).not.toEqual(spec);
    expect(applied(once, of)).toEqual(once);
    expect(refusal(spec, of)).toBeNull();
    expect(refusal(once, of)).toBeNull();
  });
  test('counts as made when document and QEMU agree', () => {
    expect(isApplied(spec, of, leaves ? [device] : [])).toBe(false);
    expect(isApplied(applied(spec, of), of, leaves ? [] : [device])).toBe(true);
    if (!leaves) expect(isApplied(applied(spec, of), of, [])).toBe(false);
  });
});

test('limits are the document’s alone, and count as made when it has them', () => {
  const limits = change({ kind: 'limits', cpuService: { shares: 3000, limit: 500 }, memoryService: { reservation: 1024 } });
  const once = applied(spec, limits);
  expect(once).toEqual({ ...spec, cpuService: { reservation: 0, shares: 3000, limit: 500 }, memoryService: { reservation: 1024, shares: 1000, limit: null } });
  expect([isApplied(spec, limits, []), isApplied(once, limits, []), refusal(spec, limits)]).toEqual([false, true, null]);
});

test('a slot that holds another device is refused; the same slot of another bus is not', () => {
  expect(refusal(spec, change({ kind: 'attach-disk', disk: disk(2, 0) }))?.code).toBe('NO_FREE_SLOT');
  expect(refusal(spec, change({ kind: 'attach-disk', disk: disk(2, 0, 'scsi') }))).toBeNull();
  expect(refusal(spec, change({ kind: 'attach-nic', nic: nic(2, 0) }))?.code).toBe('NO_FREE_SLOT');
  expect(refusal(spec, change({ kind: 'change-nic', nic: nic(2, 0) }))?.code).toBe('DEVICE_REFUSED');
});

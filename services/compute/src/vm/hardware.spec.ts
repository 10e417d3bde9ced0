// Slots, and when hardware may change.
import { describe, expect, test } from '@jest/globals';
import { createVm, type VmSpec } from '#contracts';
import { detachable, diskSlot, nicSlot } from './hardware.ts';
import { firstSpec } from './vm.ts';

const id = (n: number): string => `01890000-0000-7000-8000-${String(n).padStart(12, '0')}`;
const disk = (slot: number, bus: 'virtio' | 'scsi' | 'sata') => ({ diskId: id(slot), slot, volumeId: id(slot), datastoreId: id(99), sizeBytes: 1024 * 1024, bus, readOnly: false });
const specOf = (disks: object[], nicSlots: number[] = []): VmSpec => ({
  ...firstSpec(createVm.input.parse({ name: 'x' }), null), disks, nics: nicSlots.map((slot) => ({ nicId: id(slot), slot, portId: id(slot), portGroupId: id(9), mac: '52:54:00:00:00:01', ip: null })),
}) as VmSpec;
const running = { hostId: id(1), epoch: 1 };
const faultOf = (result: { ok: boolean; fault?: { code: string } }): string => result.fault?.code ?? 'ok';

describe('a slot', () => {
  test('is the lowest that is free on its bus', () => {
    const spec = specOf([disk(0, 'virtio'), disk(2, 'virtio'), disk(0, 'scsi')], [0, 1, 3]);
    expect([diskSlot(spec, 'virtio', null), diskSlot(spec, 'scsi', running), diskSlot(spec, 'sata', null), nicSlot(spec)].map((slot) => slot.ok && slot.value)).toEqual([1, 1, 0, 2]);
  });
  test('is refused where there is none', () => {
    expect(faultOf(diskSlot(specOf(Array.from({ length: 6 }, (_, slot) => disk(slot, 'sata'))), 'sata', null))).toBe('NO_FREE_SLOT');
    expect(faultOf(diskSlot(specOf(Array.from({ length: 64 }, (_, slot) => disk(slot, 'scsi'))), 'virtio', null))).toBe('NO_FREE_SLOT');
    expect(faultOf(nicSlot(specOf([], Array.from({ length: 16 }, (_, slot) => slot))))).toBe('NO_FREE_SLOT');
  });
});

test('SATA is neither plugged in nor out while the VM runs', () => {
  const spec = specOf([disk(0, 'sata')]);
  expect([diskSlot(spec, 'sata', running), detachable(spec, id(0), running), detachable(spec, id(0), null)].map(faultOf)).toEqual(['WRONG_STATE', 'WRONG_STATE', 'ok']);
  expect(faultOf(detachable(spec, id(7), null))).toBe('NOT_FOUND');
});

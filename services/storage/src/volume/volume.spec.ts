import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { VolumePlace } from '#contracts';
import { newUuid } from '#kernel';
import { copyRefusal, deleteRefusal, neededBytes, placeOf, roundedSize, spaceFault } from './volume.ts';
import type { StoredVolume } from './volume.ts';

const MiB = 1024 ** 2;
const volume = (over: Partial<StoredVolume> = {}): StoredVolume => ({
  id: newUuid() as StoredVolume['id'], number: 1, name: 'disk', description: '', labels: {}, datastoreId: 'here' as StoredVolume['datastoreId'], datastorePath: '/nas', state: 'ready', use: 'disk', format: 'qcow2', sizeBytes: 64 * MiB,
  allocatedBytes: 0, readOnly: false, parentId: null, attachedTo: null, ownerId: null, folderId: null, taskId: null, version: 1, createdAt: '', updatedAt: '', ...over,
});
const attached = { attachedTo: 'vm' as StoredVolume['attachedTo'] };

describe('a volume', () => {
  it('lies where its id says, whatever its name', () => {
    fc.assert(fc.property(fc.string(), fc.constantFrom('disk' as const, 'image' as const), (name, use) => {
      const place = placeOf(volume({ name, use, datastoreId: newUuid() as StoredVolume['datastoreId'] }));
      expect(VolumePlace.safeParse(place).success).toBe(true);
    }));
  });

  it.each([
    ['being made', volume({ state: 'creating' }), 'full', {}, 'WRONG_STATE'],
    ['writable, below a linked clone', volume(), 'linked', {}, 'WRONG_STATE'],
    ['of a VM', volume(attached), 'full', {}, 'IN_USE'],
    ['read-only, of a VM', volume({ ...attached, readOnly: true }), 'full', {}, undefined],
    ['below a linked clone elsewhere', volume({ readOnly: true }), 'linked', { datastoreId: 'there' }, 'INVALID_ARGUMENT'],
    ['larger than its copy', volume(), 'full', { sizeBytes: 63 * MiB }, 'INVALID_ARGUMENT'],
    ['smaller than its copy', volume(), 'full', { sizeBytes: 65 * MiB, datastoreId: 'there' }, undefined],
    ['read-only, below a linked clone', volume({ readOnly: true }), 'linked', {}, undefined],
  ] as const)('%s: copying answers as it must', (_what, source, mode, to, code) => {
    expect(copyRefusal(source, mode, { datastoreId: 'here', sizeBytes: 64 * MiB, ...to })?.code).toBe(code);
  });

  it('goes only when nobody uses it, and to its VM’s end only with that VM', () => {
    expect(deleteRefusal(volume(), { volumeIds: [] }, null)).toBeUndefined();
    expect(deleteRefusal(volume(attached), { volumeIds: [] }, 'vm')).toBeUndefined();
    expect(deleteRefusal(volume(attached), { volumeIds: [] }, 'other')?.details).toEqual({ by: [{ noun: 'vm', id: 'vm' }] });
    expect(deleteRefusal(volume(attached), { volumeIds: ['clone'] }, 'vm')?.details).toEqual({ by: [{ noun: 'volume', id: 'clone' }] });
  });

  it('needs room for all it may hold; a linked clone for its beginning', () => {
    expect(neededBytes('blank', 500 * MiB)).toBe(500 * MiB);
    expect(neededBytes('linked', 500 * MiB)).toBe(64 * MiB);
    expect(neededBytes('linked', 8 * MiB)).toBe(8 * MiB);
    expect(spaceFault('d', 10, 10)).toBeUndefined();
    expect(spaceFault('d', 10, 11)).toMatchObject({ code: 'DATASTORE_FULL', details: { datastoreId: 'd', freeBytes: 10, neededBytes: 11 } });
  });

  it('has whole sectors', () => {
    expect([roundedSize(1), roundedSize(MiB), roundedSize(MiB + 1)]).toEqual([MiB, MiB, MiB + 512]);
  });
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { VolumePlace } from '#contracts';
import { DatastoreId, VolumeId } from '#contracts';
import { newUuid } from '#kernel';
import { backingReference, backingRelativePath, draftPath, percentOf, readRelativePath, whyNotDatastorePath, whyNotPlace } from './places.ts';

const id = newUuid();
const place = (relativePath: string, format: 'qcow2' | 'raw' = 'qcow2'): VolumePlace => ({ volumeId: VolumeId.parse(id), datastoreId: DatastoreId.parse(newUuid()), datastorePath: '/srv/data', relativePath, format });

describe('places', () => {
  it('are ids below two directories and nothing else', () => {
    expect(whyNotPlace(place(`volumes/${id}.qcow2`))).toBeNull();
    fc.assert(fc.property(fc.string(), (noise) => {
      fc.pre(readRelativePath(noise) === null);
      expect(whyNotPlace(place(noise))).not.toBeNull();
      expect(whyNotPlace(place(`volumes/${noise}/${id}.qcow2`))).not.toBeNull();
    }), { numRuns: 2_000 });
    expect(whyNotPlace(place(`volumes/${id}.qcow2`, 'raw'))).not.toBeNull();
  });

  it('have plain datastore paths', () => {
    for (const path of ['/', 'srv', '/srv/../etc', '/srv//x', '/srv/\0']) expect(whyNotDatastorePath(path)).not.toBeNull();
    expect(whyNotDatastorePath('/srv/data')).toBeNull();
  });

  it('of a backing file stay in the datastore, whatever the header says', () => {
    expect(backingRelativePath(`volumes/${id}.qcow2`, `../images/${id}.qcow2`)).toBe(`images/${id}.qcow2`);
    expect(backingReference(place(`volumes/${id}.qcow2`), place(`images/${id}.qcow2`))).toBe(`../images/${id}.qcow2`);
    for (const reference of ['/etc/passwd', '../../etc/passwd', 'json:{}', 'nbd:127.0.0.1:1', `/srv/data/images/${id}.qcow2`, `../.staging/${id}`, '']) {
      expect(backingRelativePath(`volumes/${id}.qcow2`, reference)).toBeNull();
    }
  });

  it('of drafts differ by command and are no volume’s', () => {
    const target = place(`volumes/${id}.qcow2`);
    expect(draftPath(target, 'a')).not.toBe(draftPath(target, 'b'));
    expect(readRelativePath(draftPath(target, 'a').slice('/srv/data/'.length))).toBeNull();
  });

  it('read progress from what qemu-img prints', () => {
    expect(percentOf('    (0.00/100%)\r    (12.34/100%)\r')).toBe(12.34);
    expect(percentOf('    (100.00/100%)\n')).toBe(100);
    expect(percentOf('nothing')).toBeNull();
  });
});

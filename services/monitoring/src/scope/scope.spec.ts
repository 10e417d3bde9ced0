import { describe, expect, it } from '@jest/globals';
import { scopeIn, subjectOf } from './scope.ts';

const about = (noun: string, data: Record<string, unknown>, objectId = 'o') => ({ noun, objectId, data });

describe('where an object is filed', () => {
  it.each([
    ['a VM', about('vm', { vm: { id: 'o', ownerId: 'u', folderId: 'f', clusterId: 'c' } }), { noun: 'vm', ownerId: 'u', folderId: 'f', clusterId: 'c' }],
    ['a host', about('host', { host: { id: 'o', clusterId: 'c' } }), { noun: 'host', ownerId: null, folderId: null, clusterId: 'c' }],
    ['a cluster, itself a scope', about('cluster', { cluster: { id: 'o' } }), { noun: 'cluster', ownerId: null, folderId: null, clusterId: 'o' }],
    ['a folder, itself a scope', about('folder', { folder: { id: 'o', parentId: 'p' } }), { noun: 'folder', ownerId: null, folderId: 'o', clusterId: null }],
    ['a port group, by two words', about('port-group', { portGroup: { id: 'o' } }), { noun: 'port-group', ownerId: null, folderId: null, clusterId: null }],
    ['what only says that it is gone', about('vm', { vmId: 'o', name: 'web' }), undefined],
    ['what tells of something else', about('host', { liveness: { hostId: 'o' } }), undefined],
  ])('%s', (_what, event, expected) => { expect(scopeIn(event)).toEqual(expected); });

  it.each([
    ['an object itself', about('vm', { vm: { id: 'o' } }), 'o'],
    ['what a task works on', about('task', { task: { id: 'o', object: { noun: 'vm', id: 'v', name: null } } }), 'v'],
    ['the VM that a port belongs to', about('port', { port: { id: 'o', vmId: 'v' } }), 'v'],
    ['a task that does not say', about('task', {}), 'o'],
  ])('decides who sees the event: %s', (_what, event, expected) => { expect(subjectOf(event)).toBe(expected); });
});

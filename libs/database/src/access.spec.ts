import { describe, expect, it } from '@jest/globals';
import type { Actor, Permission } from '#contracts';
import { accessFilter, allowed, mayAccess } from './access.ts';

const me = '00000000-0000-7000-8000-000000000001';
const actor = (...rights: Actor['rights']): Actor => ({ userId: me as Actor['userId'], handle: 'me', rights });
const right = (permission: Permission, scope: Actor['rights'][number]['scope'], scopeId: string | null = null): Actor['rights'][number] => ({ permissions: [permission], scope, scopeId });
const columns = { id: 'v.id', ownerId: 'v.owner_id', folderId: 'v.folder_id', clusterId: 'v.cluster_id' };
const vm = { id: 'vm1', ownerId: 'other', folderId: 'f1', clusterId: 'c1' };

describe('access', () => {
  it.each([
    ['site', right('vm.power', 'site'), true],
    ['its cluster', right('vm.power', 'cluster', 'c1'), true],
    ['another cluster', right('vm.power', 'cluster', 'c2'), false],
    ['its folder', right('vm.power', 'folder', 'f1'), true],
    ['another folder', right('vm.power', 'folder', 'f2'), false],
    ['a folder above its folder', { ...right('vm.power', 'folder', 'f0'), below: ['f3', 'f1'] }, true],
    ['a folder above others', { ...right('vm.power', 'folder', 'f0'), below: ['f3'] }, false],
    ['itself', right('vm.power', 'object', 'vm1'), true],
    ['another object', right('vm.power', 'object', 'vm2'), false],
    ['another permission', right('vm.read', 'site'), false],
    ['a cluster without a name', right('vm.power', 'cluster', null), false],
  ])('a right on %s decides', (_scope, given, expected) => {
    expect(mayAccess(actor(given), 'vm.power', vm)).toBe(expected);
  });

  it('lets the owner do what owners may, and nothing else', () => {
    expect(mayAccess(actor(), 'vm.delete', { ...vm, ownerId: me })).toBe(true);
    expect(mayAccess(actor(), 'vm.create', { ...vm, ownerId: me })).toBe(false);
    expect(mayAccess(actor(), 'vm.delete', { ...vm, ownerId: null })).toBe(false);
  });

  it('lets services do everything', () => {
    expect(mayAccess('system', 'vm.delete', vm)).toBe(true);
    expect(accessFilter('system', 'vm.read', columns).sql).toBe('1 = 1');
  });

  it('filters lists by the same rule', () => {
    const rights = [right('vm.read', 'cluster', 'c1'), right('vm.read', 'object', 'vm9'), right('vm.power', 'folder', 'f1')];
    expect(accessFilter(actor(...rights), 'vm.read', columns)).toEqual({ sql: '(v.cluster_id IN (?)) OR (v.id IN (?)) OR (v.owner_id = ?)', params: ['c1', 'vm9', me] });
    expect(accessFilter(actor({ ...right('vm.create', 'folder', 'f0'), below: ['f1', 'f2'] }), 'vm.create', columns)).toEqual({ sql: '(v.folder_id IN (?, ?, ?))', params: ['f0', 'f1', 'f2'] });
    expect(accessFilter(actor(right('vm.read', 'site')), 'vm.read', columns)).toEqual({ sql: '1 = 1', params: [] });
    expect(accessFilter(actor(), 'host.read', { id: 'h.id' })).toEqual({ sql: '1 = 0', params: [] });
  });

  it('hides what may not be seen and names the right that lacks otherwise', () => {
    const about = { noun: 'vm', id: 'vm1', read: 'vm.read' } as const;
    const code = (answer: ReturnType<typeof allowed>): string => (answer.ok ? 'ok' : answer.fault.code);
    expect(code(allowed(actor(), 'vm.power', vm, about))).toBe('NOT_FOUND');
    expect(code(allowed(actor(right('vm.read', 'site')), 'vm.power', vm, about))).toBe('PERMISSION_DENIED');
    expect(code(allowed(actor(right('vm.power', 'site')), 'vm.power', vm, about))).toBe('ok');
    expect(code(allowed('system', 'vm.power', undefined, about))).toBe('NOT_FOUND');
  });
});

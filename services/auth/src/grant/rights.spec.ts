import { describe, expect, it } from '@jest/globals';
import type { Right } from '#contracts';
import { uncovered, uncoveredIn } from './rights.ts';

const site = (...permissions: Right['permissions']): Right => ({ permissions, scope: 'site', scopeId: null });
const folder = (scopeId: string, ...permissions: Right['permissions']): Right => ({ permissions, scope: 'folder', scopeId });

describe('rights', () => {
  it.each<[string, Right[], Right[], string | undefined]>([
    ['nothing covers nothing', [], [], undefined],
    ['nothing covers no right', [], [site('vm.read')], 'vm.read'],
    ['the site covers every scope', [site('vm.read')], [folder('a', 'vm.read')], undefined],
    ['a scope covers itself', [folder('a', 'vm.read')], [folder('a', 'vm.read')], undefined],
    ['a scope covers no other', [folder('a', 'vm.read')], [folder('b', 'vm.read')], 'vm.read'],
    ['a folder covers those below it', [{ ...folder('a', 'vm.read'), below: ['b'] }], [folder('b', 'vm.read')], undefined],
    ['a scope does not cover the site', [folder('a', 'vm.read')], [site('vm.read')], 'vm.read'],
    ['several rights cover together', [site('vm.read'), folder('a', 'vm.power')], [folder('a', 'vm.read', 'vm.power')], undefined],
    ['one missing permission is enough', [site('vm.read')], [site('vm.read', 'vm.power')], 'vm.power'],
  ])('%s', (_what, mine, theirs, missing) => {
    expect(uncovered(mine, theirs)).toBe(missing);
  });

  it('are asked about one role within one scope', () => {
    expect(uncoveredIn([folder('a', 'vm.read')], ['vm.read'], { scope: 'folder', scopeId: 'a' })).toBeUndefined();
    expect(uncoveredIn([folder('a', 'vm.read')], ['vm.read'], { scope: 'object', scopeId: 'a' })).toBe('vm.read');
  });
});

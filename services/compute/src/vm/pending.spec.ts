// What waits for a start and what does not, by the table and by examples.
import { describe, expect, test } from '@jest/globals';
import { createVm, type VmSpec } from '#contracts';
import { orThrow } from '#kernel';
import { changed, effectiveSpec, whenOf, type Change } from './pending.ts';
import { firstSpec } from './vm.ts';

const MiB = 1024 * 1024;
const spec: VmSpec = firstSpec(createVm.input.parse({ name: 'x', memoryBytes: 512 * MiB, firmware: 'uefi', cpuService: { reservation: 500, shares: 2000 } }), null);
const vm = { spec, pending: null };
const changes: Required<Change> = {
  cpu: { sockets: 2, cores: 1, threads: 1 }, cpuService: { limit: 1000 }, memoryBytes: 768 * MiB, memoryService: { shares: 7 }, firmware: 'uefi-secure', tpm: '2.0', bootOrder: ['network', 'disk'],
  clock: { base: 'localtime', offsetSeconds: 0 }, ha: { onGuestFault: 'leave' },
};

describe.each(Object.keys(whenOf) as (keyof Change)[])('%s', (field) => {
  const change: Change = { [field]: changes[field] };
  test('on a stopped VM is in force at once', () => {
    const next = orThrow(changed(vm, change, false));
    expect(next.pending).toBeNull();
    expect(next.spec[field]).not.toEqual(spec[field]);
    expect({ ...next.spec, [field]: spec[field] }).toEqual(spec);
  });
  test('on a running VM is where the table says', () => {
    const next = orThrow(changed(vm, change, true));
    const cold = whenOf[field] === 'cold';
    expect(next.spec).toEqual(cold ? spec : effectiveSpec(next));
    expect(Object.keys(next.pending ?? {})).toEqual(cold ? [field] : []);
    expect(effectiveSpec(next)[field]).not.toEqual(spec[field]);
  });
});

describe('what waits', () => {
  const waiting = orThrow(changed(vm, { memoryBytes: 768 * MiB, firmware: 'uefi-secure', cpuService: { limit: 1000 } }, true));
  test('is kept when something else changes, and goes when it is changed back', () => {
    expect(Object.keys(orThrow(changed(waiting, { bootOrder: ['network'] }, true)).pending ?? {}).sort()).toEqual(['bootOrder', 'firmware', 'memoryBytes']);
    expect(orThrow(changed(waiting, { memoryBytes: 512 * MiB, firmware: 'uefi' }, true)).pending).toBeNull();
  });
  test('is never a service, which keeps what is not changed of it', () => {
    expect(waiting.pending?.cpuService).toBeUndefined();
    expect(waiting.spec.cpuService).toEqual({ reservation: 500, shares: 2000, limit: 1000 });
  });
  test('of a service, from before it could be changed at once, is taken with the next change', () => {
    const older = { spec, pending: { cpuService: { reservation: 0, shares: 7, limit: null } } };
    expect(orThrow(changed(older, { bootOrder: ['network'] }, true))).toMatchObject({ spec: { cpuService: { shares: 7 } }, pending: { bootOrder: ['network'] } });
  });
  test('is in force with whatever is changed on the stopped VM', () => {
    expect(orThrow(changed(waiting, { bootOrder: ['network'] }, false))).toEqual({ spec: { ...effectiveSpec(waiting), bootOrder: ['network'] }, pending: null });
  });
  test.each<[Change, string]>([
    [{ cpuService: { reservation: 2000, limit: 1000 } }, 'cpuService.reservation'],
    [{ memoryService: { reservation: 1024 * MiB } }, 'memoryService.reservation'],
    [{ cpuService: { limit: 400 } }, 'cpuService.reservation'],
    [{ tpm: '2.0', firmware: 'bios' }, 'tpm'],
    [{ memoryService: { limit: 100 * MiB } }, 'memoryService.limit'],
  ])('is refused by field: %j', (change, path) => {
    expect(changed(vm, change, true)).toMatchObject({ ok: false, fault: { code: 'INVALID_ARGUMENT', details: { issues: [{ path }] } } });
  });
});

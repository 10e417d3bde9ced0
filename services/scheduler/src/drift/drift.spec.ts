// What is a difference between claims and VMs, and what is not.
import { expect, it } from '@jest/globals';
import type { StandingVm } from '#contracts';
import { newUuid } from '#kernel';
import { judgeClaims, type HeldClaim } from './drift.ts';

const [vmId, hostId] = [newUuid(), newUuid()];
const claim: HeldClaim = { id: newUuid(), vmId, hostId };
const vm = (over: Partial<StandingVm> = {}): StandingVm => ({ vmId, name: 'web', hostId, state: 'running', taskId: null, claimHeld: false, demand: { vcpus: 1, memoryBytes: 1, cpuReservedMhz: 0, memoryReservedBytes: 0 }, version: 1, ...over } as StandingVm);

it.each<[string, HeldClaim[], StandingVm[], string[]]>([
  ['a VM that runs with its claim', [claim], [vm()], []],
  ['a claim whose VM is gone', [claim], [], ['claim-stray']],
  ['a claim whose VM is at rest, and compute does not know of it', [claim], [vm({ state: 'stopped' })], ['claim-stray']],
  ['the same, and compute is about to give it back', [claim], [vm({ state: 'stopped', claimHeld: true })], []],
  ['the same, while a task works on it', [claim], [vm({ state: 'stopped', taskId: newUuid() as StandingVm['taskId'] })], []],
  ['a VM of which nobody knows the state', [claim], [vm({ state: 'unknown' })], []],
  ['a VM that runs without a claim', [], [vm()], ['claim-missing']],
  ['the same, while a task works on it', [], [vm({ taskId: newUuid() as StandingVm['taskId'] })], []],
  ['a VM at rest without a claim', [], [vm({ state: 'stopped' })], []],
])('%s', (_what, claims, vms, kinds) => expect(judgeClaims(claims, vms).map(({ kind }) => kind)).toEqual(kinds));

// What is a difference between a host and the pool's rows, and what is not.
import { describe, expect, it } from '@jest/globals';
import type { HostVmStatus, VmId } from '#contracts';
import { newUuid } from '#kernel';
import { judgeStranger, judgeVm, stateWithoutTask, type Placed } from './drift.ts';

const here = newUuid();
const vmId = newUuid() as VmId;
const row = (over: Partial<Placed> = {}): Placed => ({ name: 'web', hostId: here, gone: false, taskId: null, ...over });
const status = (state: HostVmStatus['state']): HostVmStatus => ({ vmId, state, epoch: 3, pid: null, startedAt: null, exitReason: null, detail: null, saved: null, guestAgent: false, guestAddresses: [], memory: null });

describe('a VM that a host tells of', () => {
  it.each<[string, HostVmStatus['state'], Placed | undefined, string | null]>([
    ['runs where it is placed', 'running', row(), null],
    ['rests where it is placed', 'stopped', row(), null],
    ['runs, and the pool has it elsewhere', 'running', row({ hostId: newUuid() }), 'vm-elsewhere'],
    ['runs, and was deleted', 'running', row({ gone: true }), 'vm-elsewhere'],
    ['runs, and the pool has never had it', 'paused', undefined, 'vm-elsewhere'],
    ['runs elsewhere while a task works on it', 'running', row({ hostId: null, taskId: newUuid() }), null],
    ['is on its way', 'stopping', undefined, null],
    ['rests, and was deleted', 'stopped', row({ gone: true }), null],
    ['rests, and the pool has never had it', 'defined', undefined, 'vm-unknown'],
  ])('%s', (_what, state, placed, kind) => expect(judgeVm(here, status(state), placed)?.kind ?? null).toBe(kind));
});

it('a process that the agent does not know is named by its pid and its start, or not at all', () => {
  const process = { pid: 7, uuid: vmId, name: 'x', commandLine: 'qemu -uuid y' };
  expect(judgeStranger(process, new Map())).toBeNull();
  expect(judgeStranger({ ...process, startTicks: 99 }, new Map([[vmId, row()]]))).toMatchObject({ kind: 'qemu-unknown', objectId: '7/99', touches: [vmId], text: expect.stringContaining('the id of the VM web') });
});

it.each([['starting', here, 'unknown'], ['creating', null, 'failed'], ['running', here, 'running'], ['stopped', null, 'stopped']] as const)('a VM that was %s for a task is, on %s, %s without it', (state, hostId, then) =>
  expect(stateWithoutTask(state, hostId)).toBe(then));

// The decisions about a VM: single steps as sentences, and what must hold after any sequence of inputs.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HostVmSpec, NicId, QemuFailed, VolumePlace } from '#contracts';
import type { Fault } from '#kernel';
import { absentVm, statusOf, step } from './vm.ts';
import type { Step, Vm, VmEffect, VmInput } from './vm.ts';

const vmId = '01890000-0000-7000-8000-000000000001';
const spec = HostVmSpec.parse({
  vmId, name: 'n', uid: 200_001, cpu: { sockets: 1, cores: 1, threads: 1 }, cpuService: {}, memoryBytes: 16 * 1024 * 1024, memoryService: {}, firmware: 'bios', disks: [], nics: [],
});
const process = { pid: 4711, startTicks: 1, startedAt: '2026-01-01T00:00:00.000Z' };

const after = (vm: Vm, ...inputs: VmInput[]): Vm => inputs.reduce((now, input) => {
  const next = step(now, input);
  return next.kind === 'moved' ? next.vm : now;
}, vm);
const doing = (decided: Step): string[] => (decided.kind === 'moved' ? decided.effects.map((effect) => effect.do) : [decided.kind]);
const code = (decided: Step): string => (decided.kind === 'denied' ? decided.fault.code : decided.kind);

const start = (epoch = 1, commandId = 'start'): VmInput => ({ type: 'vm.start', commandId, epoch, spec, paused: false, memory: null });
const stop = (epoch = 1): VmInput => ({ type: 'vm.stop', commandId: 'stop', epoch, graceMs: 1000, by: 'both' });
const off = (epoch = 1, commandId = 'off'): VmInput => ({ type: 'vm.power-off', commandId, epoch });
const remove = (epoch = 1): VmInput => ({ type: 'vm.delete', commandId: 'delete', epoch });
const launched: VmInput = { type: 'launched', attempt: 1, process, paused: false };
const gone: VmInput = { type: 'gone', reason: 'qemu-crashed', detail: null };
const released: VmInput = { type: 'released', problem: null };
const running = after(absentVm(vmId), start(), launched);
const place = VolumePlace.parse({ volumeId: vmId, datastoreId: vmId, datastorePath: '/srv', relativePath: `volumes/${vmId}.qcow2`, format: 'qcow2' });
const pause: VmInput = { type: 'vm.pause', commandId: 'pause', epoch: 1 };
const resume: VmInput = { type: 'vm.resume', commandId: 'resume', epoch: 1 };
const reset: VmInput = { type: 'vm.reset', commandId: 'reset', epoch: 1 };
const save: VmInput = { type: 'vm.save', commandId: 'save', epoch: 1, place };
const steered = (of: string, fault: Fault | null = null): VmInput => ({ type: 'steered', of, fault });
const saved = (fault: Fault | null = null): VmInput => ({ type: 'saved', of: 'save', fault });

describe('commands', () => {
  test('a start launches, and is answered when QEMU runs', () => {
    expect(doing(step(absentVm(vmId), start()))).toEqual(['launch']);
    expect(doing(step(after(absentVm(vmId), start()), launched))).toEqual(['answer']);
    expect(running).toMatchObject({ state: 'running', process, open: [] });
  });
  test('a start of a running VM is already so; with a newer epoch it is wrong', () => {
    expect(doing(step(running, start()))).toEqual(['answer']);
    expect(code(step(running, start(2)))).toBe('WRONG_STATE');
  });
  test('a lower epoch is refused, also by power-off', () => {
    const seen = after(running, off(5));
    expect([start(4), stop(4), off(4), remove(4)].map((input) => code(step(seen, input)))).toEqual(Array(4).fill('STALE_EPOCH'));
  });
  test('a power-off while it starts ends the launch and answers the start with a fault', () => {
    const starting = after(absentVm(vmId), start());
    expect(doing(step(starting, off()))).toEqual(['end']);
    const ended = step(after(starting, off(), gone), released);
    expect(ended.kind === 'moved' && ended.effects).toMatchObject([{ do: 'answer', command: { name: 'vm.start' }, fault: { code: 'QEMU_FAILED' } }, { do: 'answer', command: { name: 'vm.power-off' }, fault: null }]);
    expect(ended).toMatchObject({ vm: { state: 'stopped', exitReason: 'requested' } });
  });
  test('the launch of an earlier attempt is recognised as late', () => {
    expect(step(after(absentVm(vmId), start(), off()), launched)).toEqual({ kind: 'unchanged' });
  });
  test('a failed launch is released before it is answered', () => {
    const fault = QemuFailed.fault('no', { reason: 'no' });
    const failing = step(after(absentVm(vmId), start()), { type: 'launch-failed', attempt: 1, fault });
    expect(doing(failing)).toEqual(['release']);
    expect(step(failing.kind === 'moved' ? failing.vm : running, released)).toMatchObject({ vm: { state: 'failed', exitReason: 'start-failed' }, effects: [{ fault }] });
  });
  test('a stop that nobody follows ends as running, not as an error', () => {
    const stopping = after(running, stop());
    expect(step(stopping, { type: 'grace-over', attempt: stopping.attempt })).toMatchObject({ vm: { state: 'running' }, effects: [{ do: 'answer', fault: null }] });
  });
  test('a guest that follows a stop was asked to; one that ends by itself was not', () => {
    const ended: VmInput = { type: 'guest-ended', reason: 'guest-shutdown' };
    expect(after(running, stop(), ended, gone, released)).toMatchObject({ state: 'stopped', exitReason: 'requested' });
    expect(after(running, ended, gone, released)).toMatchObject({ state: 'stopped', exitReason: 'guest-shutdown' });
  });
  test('a process that is gone without a word has crashed', () => {
    expect(after(running, gone, released)).toMatchObject({ state: 'failed', exitReason: 'qemu-crashed', process: null });
  });
  test('a delete forgets what has been released, then answers; the epoch stays known', () => {
    const stopped = after(running, off(3), gone, released);
    expect(doing(step(stopped, remove(3)))).toEqual(['forget']);
    expect(after(stopped, remove(3), { type: 'forgotten', fault: null })).toMatchObject({ state: 'absent', epoch: 3, open: [] });
  });
  test.each([
    ['what could not be released', after(running, off(3), gone, { type: 'released', problem: 'the port stays' })],
    ['what an agent finds that has just started', { ...after(running, off(3), gone, released), released: false }],
    ['what ran once more', { ...after(running, off(3), gone, released, start(4)), state: 'stopped' as const, open: [] }],
  ])('a delete releases %s before it forgets', (_what, stopped) => {
    expect(doing(step(stopped, remove(4)))).toEqual(['release']);
    expect(doing(step(after(stopped, remove(4)), released))).toEqual(['forget']);
  });
  test('a second command is told to come later', () => {
    expect(code(step(after(running, stop()), stop()))).toBe('VM_BUSY');
    expect(code(step(after(absentVm(vmId), start()), remove()))).toBe('VM_BUSY');
    expect(code(step(running, remove()))).toBe('WRONG_STATE');
  });
});

describe('adjustments', () => {
  const adjust = (epoch = 1, commandId = 'adjust'): VmInput => ({ type: 'vm.adjust', commandId, epoch, change: { kind: 'detach-nic', nicId: NicId.parse(vmId), waitMs: 100 } });
  const adjusted: VmInput = { type: 'adjusted', of: 'adjust', fault: null, guest: 'confirmed' };
  test('one at a time, of a VM that runs, in its own epoch', () => {
    expect(doing(step(running, adjust()))).toEqual(['adjust']);
    expect(code(step(after(running, adjust()), adjust(1, 'other')))).toBe('VM_BUSY');
    expect(code(step(running, adjust(2)))).toBe('WRONG_STATE');
    expect(code(step(running, adjust(0)))).toBe('STALE_EPOCH');
    expect(code(step(after(running, off(), gone, released), adjust()))).toBe('WRONG_STATE');
    expect(doing(step(after(running, adjust()), adjusted))).toEqual(['answer']);
  });
  test('a power-off is taken while a device removal hangs, and its end answers both', () => {
    const hanging = after(running, adjust());
    expect(doing(step(hanging, off()))).toEqual(['end']);
    expect(step(after(hanging, off()), adjusted).kind).toBe('unchanged');
    const ended = step(after(hanging, off(), gone), released);
    expect(ended.kind === 'moved' && ended.effects).toMatchObject([{ command: { name: 'vm.adjust' }, fault: { code: 'WRONG_STATE' } }, { command: { name: 'vm.power-off' }, fault: null }]);
  });
  test('what a look has answered or dropped is not answered again by its late outcome', () => {
    const dropped = after(running, adjust(), { type: 'looked', finding: { kind: 'running', process, detail: null }, done: [], dropped: ['adjust'] });
    expect(step(dropped, adjusted).kind).toBe('unchanged');
  });
});

describe('after a look', () => {
  const looked = (finding: 'none' | 'running' | 'silent', done: string[] = [], dropped: string[] = []): VmInput => ({
    type: 'looked', done, dropped, finding: finding === 'none' ? { kind: 'none' } : finding === 'running' ? { kind: 'running', process, detail: null } : { kind: 'silent', process, detail: 'hangs' },
  });
  test('a process that does not answer makes the VM unknown, and nothing but power-off is taken', () => {
    const unknown = after(running, looked('silent'));
    expect(unknown).toMatchObject({ state: 'unknown', process });
    expect([start(), stop(), remove()].map((input) => code(step(unknown, input)))).toEqual(Array(3).fill('VM_BUSY'));
    expect(doing(step(unknown, off()))).toEqual(['end']);
  });
  test('a start whose QEMU runs is answered; one whose QEMU does not is dropped', () => {
    const starting = after(absentVm(vmId), start());
    expect(doing(step(starting, looked('running', ['start'])))).toEqual(['answer']);
    expect(doing(step(starting, looked('none', [], ['start'])))).toEqual(['release', 'drop']);
    expect(after(starting, looked('none', [], ['start']))).toMatchObject({ state: 'stopped', exitReason: null, open: [] });
  });
  test('a VM whose document was written is defined; one whose document was not is not there, and is defined when it is sent again', () => {
    const define: VmInput = { type: 'vm.define', commandId: 'define', epoch: 1, spec };
    const defining = after(absentVm(vmId), define);
    expect(after(defining, looked('none', ['define']))).toMatchObject({ state: 'defined', epoch: 1, open: [] });
    const dropped = after(defining, looked('none', [], ['define']));
    expect(dropped).toMatchObject({ state: 'absent', open: [] });
    expect(doing(step(dropped, define))).toEqual(['write']);
    expect(after(running, off(), gone, released, define, looked('none', ['define']))).toMatchObject({ state: 'stopped' });
  });
  test('a process found in the middle of a delete is ended before anything is forgotten, and both commands are answered', () => {
    const deleting = after(running, off(), gone, released, remove());
    const found = after(deleting, looked('silent'), off());
    expect(step(found, released).kind).toBe('unchanged');
    const ended = step(after(found, gone, released), { type: 'forgotten', fault: null });
    expect(doing(ended)).toEqual(['answer', 'answer']);
  });
  test('the world wins: a stopped VM whose process is there runs', () => {
    expect(after(running, off(), gone, released, looked('running'))).toMatchObject({ state: 'running', process });
  });
});

describe('a guest that is held still', () => {
  test('is paused and resumed once each, whether QEMU’s event or its answer comes first', () => {
    expect(doing(step(running, pause))).toEqual(['steer']);
    const paused = after(running, pause, { type: 'paused', detail: null }, steered('pause'));
    expect(paused).toMatchObject({ state: 'paused', open: [] });
    expect(after(running, pause, steered('pause'), { type: 'paused', detail: null })).toEqual(paused);
    expect(doing(step(paused, { ...pause, commandId: 'again' }))).toEqual(['answer']);
    expect(after(paused, resume, steered('resume'))).toMatchObject({ state: 'running', open: [] });
    expect(doing(step(running, resume))).toEqual(['answer']);
  });
  test('stays what it was when QEMU refuses', () => {
    const refused = step(after(running, pause), steered('pause', QemuFailed.fault('no', { reason: 'no' })));
    expect(refused).toMatchObject({ kind: 'moved', vm: { state: 'running', open: [] }, effects: [{ do: 'answer', fault: { code: 'QEMU_FAILED' } }] });
  });
  test('is reset where it is', () => {
    expect(after(running, reset, steered('reset'))).toMatchObject({ state: 'running', process, open: [] });
  });
  test('is refused what belongs to another run, or to none', () => {
    expect(code(step(running, { ...pause, epoch: 2 }))).toBe('WRONG_STATE');
    expect(code(step(running, { ...save, epoch: 0 }))).toBe('STALE_EPOCH');
    expect(code(step(after(running, off(), gone, released), pause))).toBe('WRONG_STATE');
    expect(code(step(absentVm(vmId), resume))).toBe('NOT_FOUND_ON_HOST');
  });
  test('a guest that ends under a resume may have gone on: the answer is how it rests, and no refusal', () => {
    const still = after(running, { type: 'paused', detail: null });
    expect(step(after(still, resume, gone), released)).toMatchObject({ kind: 'moved', vm: { state: 'failed', open: [] }, effects: [{ do: 'answer', fault: null }] });
    expect(step(after(running, pause, gone), released)).toMatchObject({ kind: 'moved', effects: [{ do: 'answer', fault: { code: 'WRONG_STATE' } }] });
  });
});

describe('a memory that is saved', () => {
  test('ends QEMU, and is answered when that is gone', () => {
    const ending = step(after(running, save, { type: 'paused', detail: null }), saved());
    expect(doing(ending)).toEqual(['end']);
    const rested = step(after(running, save, saved(), { type: 'gone', reason: 'requested', detail: null }), released);
    expect(rested).toMatchObject({ kind: 'moved', vm: { state: 'stopped', exitReason: 'saved', open: [] }, effects: [{ do: 'answer', fault: null }] });
  });
  test('that could not be saved leaves the VM running', () => {
    expect(step(after(running, save), saved(QemuFailed.fault('full', { reason: 'full' })))).toMatchObject({ kind: 'moved', vm: { state: 'running', open: [] }, effects: [{ do: 'answer', fault: { code: 'QEMU_FAILED' } }] });
  });
  test('is no longer asked for when a power-off came in between', () => {
    const cut = after(running, save, off(), gone, saved());
    expect(cut).toMatchObject({ state: 'stopping', ending: 'requested' });
    expect(step(cut, released)).toMatchObject({ kind: 'moved', vm: { exitReason: 'requested' }, effects: [{ do: 'answer', fault: { code: 'WRONG_STATE' } }, { do: 'answer', fault: null }] });
  });
});

describe('whatever happens', () => {
  const input: fc.Arbitrary<VmInput> = fc.oneof(
    fc.record({ epoch: fc.integer({ min: 0, max: 4 }), commandId: fc.uuid() }).chain(({ epoch, commandId }) => fc.constantFrom<VmInput>(
      { type: 'vm.define', commandId, epoch, spec }, { type: 'vm.start', commandId, epoch, spec, paused: false, memory: null }, { type: 'vm.stop', commandId, epoch, graceMs: 1, by: 'both' },
      { type: 'vm.power-off', commandId, epoch }, { type: 'vm.delete', commandId, epoch },
      { type: 'vm.pause', commandId, epoch }, { type: 'vm.resume', commandId, epoch }, { type: 'vm.reset', commandId, epoch }, { type: 'vm.save', commandId, epoch, place },
      { type: 'vm.adjust', commandId, epoch, change: { kind: 'detach-nic', nicId: NicId.parse(vmId), waitMs: 100 } },
    )),
    fc.integer({ min: 0, max: 6 }).chain((attempt) => fc.constantFrom<VmInput>(
      { type: 'written', attempt, fault: null }, { type: 'launched', attempt, process, paused: attempt % 2 === 0 }, { type: 'launch-failed', attempt, fault: QemuFailed.fault('no', { reason: 'no' }) }, { type: 'grace-over', attempt },
    )),
    fc.constantFrom<VmInput>(
      { type: 'paused', detail: null }, { type: 'resumed' }, { type: 'guest-ended', reason: 'guest-shutdown' }, { type: 'guest-ended', reason: 'guest-panic' }, gone, released,
      { type: 'released', problem: 'stuck' }, { type: 'forgotten', fault: null },
      { type: 'looked', finding: { kind: 'silent', process, detail: 'hangs' }, done: [], dropped: [] },
    ),
  );

  test('the epoch never falls, a command is answered once, and no second QEMU is launched', () => {
    fc.assert(fc.property(fc.array(input, { maxLength: 60 }), (inputs) => {
      let vm = absentVm(vmId);
      const accepted = new Set<string>();
      const answered = new Set<string>();
      for (const one of inputs) {
        const decided = step(vm, one);
        if (decided.kind !== 'moved') continue;
        if ('commandId' in one) accepted.add(one.commandId);
        expect(decided.vm.epoch).toBeGreaterThanOrEqual(vm.epoch);
        for (const effect of decided.effects) check(effect, vm, answered);
        vm = decided.vm;
        if (vm.state === 'running' || vm.state === 'paused') expect(vm.process).not.toBeNull();
        if (['stopped', 'failed', 'defined', 'absent'].includes(vm.state)) expect(vm.process).toBeNull();
        expect([...accepted].filter((id) => !answered.has(id)).sort()).toEqual(vm.open.map(({ commandId }) => commandId).sort());
      }
      expect(statusOf(vm, { guestAgent: false, guestAddresses: [], memory: null }, null).state).toBe(vm.state);
    }), { numRuns: 2_000 });
  });

  function check(effect: VmEffect, before: Vm, answered: Set<string>): void {
    if (effect.do === 'launch') expect(before.process).toBeNull();
    if (effect.do === 'launch') expect(['absent', 'defined', 'stopped', 'failed']).toContain(before.state);
    if (effect.do !== 'answer') return;
    expect(answered.has(effect.command.commandId)).toBe(false);
    answered.add(effect.command.commandId);
  }
});

import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { CreateVm, HostVmStatus, VmState, type HostVmStatus as Status } from '#contracts';
import { allowedFrom, begin, firstSpec, holdsHost, isNews, reasonOf, stateAfterStart, stateAsHostSays, stateFromHost, vcpusOf, type VmOperation } from './vm.ts';

const states = VmState.options;
const hostStates = HostVmStatus.shape.state.options;
const operations = Object.keys(allowedFrom) as VmOperation[];
const vm = (state: VmState, over = {}) => ({ id: 'v', state, taskId: null, hostId: 'h', ...over });
const code = (answer: ReturnType<typeof begin>): string => (answer.ok ? answer.value : answer.fault.code);

describe('what may begin', () => {
  const table: Readonly<Record<VmState, string>> = {
    creating: '', stopped: 'start modify delete delete-forced', starting: '', running: 'modify stop power-off reboot pause reset hibernate delete-forced', pausing: '',
    paused: 'stop power-off reboot resume reset delete-forced', stopping: '', hibernating: '', hibernated: 'start delete delete-forced', migrating: '', deleting: '',
    failed: 'modify start power-off delete delete-forced', unknown: '',
  };
  it.each(states)('with a VM that is %s', (state) => {
    const allowed = operations.filter((operation) => begin(vm(state), operation, true).ok);
    expect(new Set(allowed)).toEqual(new Set(table[state].split(' ').filter((word) => word !== '')));
  });

  it('is nothing while a task works on it, and the refusal names the task', () => {
    for (const operation of operations) {
      expect(begin(vm('running', { taskId: 't' }), operation, true)).toMatchObject({ ok: false, fault: { code: 'VM_BUSY', details: { taskId: 't' } } });
    }
  });

  it('is nothing that depends on a host which does not respond', () => {
    fc.assert(fc.property(fc.constantFrom(...states), fc.constantFrom(...operations), fc.boolean(), fc.constantFrom('h', null), (state, operation, responds, hostId) => {
      const answer = begin(vm(state, { hostId }), operation, responds);
      if (state === 'unknown') expect(code(answer)).toBe('HOST_UNREACHABLE');
      if (answer.ok && hostId !== null && holdsHost.includes(state)) expect(responds).toBe(true);
      if (answer.ok) expect(answer.value).toBe(allowedFrom[operation].via);
      else expect(['WRONG_STATE', 'HOST_UNREACHABLE']).toContain(answer.fault.code);
    }));
  });

  it('leaves a stopped VM to be started elsewhere while its last host is away', () => {
    expect(code(begin(vm('stopped'), 'start', false))).toBe('starting');
    expect(code(begin(vm('failed'), 'start', false))).toBe('HOST_UNREACHABLE');
  });
});

describe('what a host says', () => {
  it('always means one of the states of a VM', () => {
    for (const state of hostStates) expect(states).toContain(stateFromHost(state));
  });

  it('is news once, in the order of (epoch, seq)', () => {
    const order = fc.record({ epoch: fc.integer({ min: 0, max: 3 }), seq: fc.integer({ min: 0, max: 3 }) });
    fc.assert(fc.property(order, order, (a, b) => {
      expect(isNews(a, a)).toBe(false);
      expect(isNews(a, b) && isNews(b, a)).toBe(false);
      expect(isNews(a, b) || isNews(b, a)).toBe(a.epoch !== b.epoch || a.seq !== b.seq);
    }));
  });

  const status = (exitReason: Status['exitReason'], detail: string | null = null) => ({ exitReason, detail });
  it.each([
    [status(null), null],
    [status('requested', 'as asked'), null],
    [status('guest-panic'), 'guest-panic'],
    [status('qemu-crashed', 'signal 11'), 'qemu-crashed: signal 11'],
  ])('of an end %j is the reason %j', (told, reason) => expect(reasonOf(told)).toBe(reason));

  it('after a start counts when it says that this run is over', () => {
    expect(hostStates.filter((state) => stateAfterStart(state) !== 'running')).toEqual(['paused', 'stopped', 'failed']);
    expect(stateAfterStart(null)).toBe('running');
  });
});

describe('the state of a VM whose task does not know it', () => {
  const heard = (over = {}) => ({ hostState: null, hostId: 'h', epoch: 1, hostResponds: true, ...over });
  it.each([
    ['never ran', heard({ hostId: null, epoch: 0 }), 'stopped'],
    ['nothing heard of this run', heard(), 'unknown'],
    ['its host says that it runs', heard({ hostState: 'running' }), 'running'],
    ['its host said so and is silent now', heard({ hostState: 'running', hostResponds: false }), 'unknown'],
    ['its host said that it is off and is silent now', heard({ hostState: 'stopped', hostResponds: false }), 'stopped'],
    ['its host has lost it', heard({ hostState: 'absent' }), 'stopped'],
  ] as const)('%s', (_what, input, state) => expect(stateAsHostSays(input)).toBe(state));
});

describe('the first spec', () => {
  const template = { hardware: { cpu: { sockets: 1, cores: 2, threads: 1 }, memoryBytes: 64 * 1024 ** 2, firmware: 'uefi' as const, bootOrder: ['network' as const], tpm: '2.0' as const } };
  it('is what was asked, else the template, else small', () => {
    expect(firstSpec(CreateVm.parse({ name: 'x', memoryBytes: 32 * 1024 ** 2 }), template)).toMatchObject({ ...template.hardware, memoryBytes: 32 * 1024 ** 2, disks: [], nics: [] });
    const plain = firstSpec(CreateVm.parse({ name: 'x' }), null);
    expect([vcpusOf(plain.cpu), plain.memoryBytes, plain.firmware, plain.bootOrder, plain.ha.enabled]).toEqual([1, 512 * 1024 ** 2, 'bios', ['disk'], true]);
  });
});

// A VM's TPM on one host: real swtpm beside real QEMU, a real agent process that is killed, and the keys in the file.
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostStatus, hostVmResume, hostVmSave, hostVmStart } from '#contracts';
import type { HostVmSpec } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { until } from '#testing';
import { AgentLab, endProcess, qemuPidsOf } from './agent-lab.fixture.ts';
import { keyOf } from './tpm-key.fixture.ts';

jest.setTimeout(60_000);

let lab: AgentLab;
beforeEach(async () => { lab = await AgentLab.open(); });
afterEach(() => lab.close());

const MiB = 1024 * 1024;
const fileOf = ({ tpm }: HostVmSpec): string => join(tpm!.datastorePath, tpm!.relativePath);

/** With a volume for its TPM as storage makes it: zeros. */
function vmWithTpm(index: number, more: Partial<HostVmSpec> = {}): HostVmSpec {
  const vm = lab.uefiVm(index, more);
  return { ...vm, tpm: lab.volume(vm.uid, 'raw', MiB) };
}

const programOf = (pid: number): string => readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
/** The living processes of this lab's VMs, by what they run. */
const running = (): { qemu: number[]; swtpm: number[] } => {
  const pids = qemuPidsOf(lab.dir);
  return { swtpm: pids.filter((pid) => programOf(pid) === 'swtpm'), qemu: pids.filter((pid) => programOf(pid) !== 'swtpm') };
};
const start = (spec: HostVmSpec, epoch = 1, commandId = newUuid(), timeoutMs = 20_000) => lab.ask(hostVmStart, { commandId, vmId: spec.vmId, epoch, spec, paused: false }, timeoutMs);
const isLocked = (file: string): boolean => spawnSync('flock', ['--nonblock', '--conflict-exit-code', '9', file, 'true']).status === 9;

describe('a VM with a TPM', () => {
  test('has it as a process of its own: the VM’s user, no rights, a private socket, its state locked; it ends with QEMU', async () => {
    await lab.start();
    expect(orThrow(await lab.ask(hostStatus, {})).inventory.tpm).toBe(true);
    const vm = vmWithTpm(121);
    expect(orThrow(await start(vm))).toMatchObject({ state: 'running', detail: null });
    const { qemu: [qemu], swtpm } = running();
    expect(swtpm).toHaveLength(1);
    const proc = readFileSync(`/proc/${swtpm[0]}/status`, 'utf8');
    expect(proc).toMatch(new RegExp(`^Uid:\\s+${vm.uid}\\s+${vm.uid}\\s+${vm.uid}\\s+${vm.uid}$`, 'm'));
    for (const line of [/^CapEff:\s+0+$/m, /^CapBnd:\s+0+$/m, /^NoNewPrivs:\s+1$/m, /^Seccomp:\s+2$/m]) expect(proc).toMatch(line);
    expect(readFileSync(`/proc/${swtpm[0]}/cgroup`, 'utf8')).toBe(readFileSync(`/proc/${qemu}/cgroup`, 'utf8'));
    expect(statSync(join(lab.vmDir(vm.vmId), 'run', 'tpm.sock')).mode & 0o777).toBe(0o600);
    expect(readFileSync(fileOf(vm)).subarray(0, 8).toString('latin1')).toBe('nilmptws');
    expect(isLocked(fileOf(vm))).toBe(true);

    expect(await lab.powerOff(vm.vmId)).toMatchObject({ state: 'stopped' });
    expect(running()).toEqual({ qemu: [], swtpm: [] });
    expect(isLocked(fileOf(vm))).toBe(false);
  });

  test('keeps its keys through a stop and a start, and another VM has others', async () => {
    await lab.start();
    const [vm, other] = [vmWithTpm(122), vmWithTpm(123)];
    for (const one of [vm, other]) {
      orThrow(await start(one));
      await lab.powerOff(one.vmId);
    }
    const key = await keyOf(fileOf(vm));
    expect(await keyOf(fileOf(other))).not.toBe(key);
    orThrow(await start(vm, 2));
    await lab.powerOff(vm.vmId, 2);
    expect(await keyOf(fileOf(vm))).toBe(key);
  });

  test('takes it along with its memory', async () => {
    await lab.start();
    const vm = vmWithTpm(124);
    orThrow(await start(vm));
    const place = lab.volume(vm.uid, 'qcow2', 128 * MiB);
    const { saved } = orThrow(await lab.ask(hostVmSave, { commandId: newUuid(), vmId: vm.vmId, epoch: 1, place }));
    expect(running()).toEqual({ qemu: [], swtpm: [] });
    const key = await keyOf(fileOf(vm));
    expect(orThrow(await lab.ask(hostVmStart, { commandId: newUuid(), vmId: vm.vmId, epoch: 2, spec: vm, paused: false, memory: { place, saved: saved! } }))).toMatchObject({ state: 'paused' });
    expect(orThrow(await lab.ask(hostVmResume, { commandId: newUuid(), vmId: vm.vmId, epoch: 2 }))).toMatchObject({ state: 'running' });
    expect(running().swtpm).toHaveLength(1);
    await lab.powerOff(vm.vmId, 2);
    expect(await keyOf(fileOf(vm))).toBe(key);
  });

  test('whose QEMU is killed has no TPM left', async () => {
    await lab.start();
    const vm = vmWithTpm(125);
    const { pid } = orThrow(await start(vm));
    process.kill(pid!, 'SIGKILL');
    await until('it is told as failed', async () => (await lab.status(vm.vmId)).state === 'failed');
    expect(running()).toEqual({ qemu: [], swtpm: [] });
  });

  test('goes on when its TPM is killed, and an agent that comes back says so', async () => {
    await lab.start();
    const vm = vmWithTpm(126);
    const { pid } = orThrow(await start(vm));
    await lab.kill();
    await endProcess(running().swtpm[0]!);
    await lab.start();
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'running', pid, detail: expect.stringContaining('TPM has ended') });
    await lab.powerOff(vm.vmId);
    expect(orThrow(await start(vm, 2))).toMatchObject({ state: 'running', detail: null });
    await lab.powerOff(vm.vmId, 2);
  });
});

describe('a start with a TPM is refused, and leaves nothing', () => {
  beforeEach(() => lab.start());
  const refused = async (vm: HostVmSpec, words: string): Promise<void> => {
    const answer = await start(vm);
    expect(answer.ok ? 'ok' : answer.fault.detail).toContain(words);
    expect(running()).toEqual({ qemu: [], swtpm: [] });
  };

  test('when the state is damaged: swtpm would make a new one of it', async () => {
    const vm = vmWithTpm(131);
    writeFileSync(fileOf(vm), 'not a state');
    await refused(vm, 'damaged');
    expect(readFileSync(fileOf(vm), 'utf8')).toBe('not a state');
  });

  test('when somebody else has it', async () => {
    const vm = vmWithTpm(132);
    orThrow(await start(vm));
    const thief = { ...lab.uefiVm(133), uid: vm.uid, tpm: vm.tpm };
    const answer = await start(thief);
    expect(answer.ok ? 'ok' : answer.fault.detail).toContain('in use by another process');
    expect(running().swtpm).toHaveLength(1);
    await lab.powerOff(vm.vmId);
  });

  test('when QEMU does not start, and the TPM that had is ended', () => refused(vmWithTpm(134, { cpuModel: 'no-such-model' }), 'CPU model'));
  test('when the firmware is a BIOS', () => refused(vmWithTpm(135, { firmware: 'bios' }), 'a TPM needs UEFI'));
});

describe('an agent that dies', () => {
  test.each([['vm.start:prepared', 0], ['vm.start:tpm', 0], ['vm.start:launched', 1], ['vm.start:running', 1], ['vm.start:done', 1]])('at %s leaves, when it is back, one QEMU with one TPM', async (point, ran) => {
    const vm = vmWithTpm(141);
    const commandId = newUuid();
    await lab.start({ TOK_TEST_FAULT_POINT: point });
    void start(vm, 1, commandId, 2_000);
    await lab.ended();
    await until('what it left shows its command lines', () => running().qemu.length === ran); // a program that just begins has none
    const left = running();
    expect(left.swtpm).toHaveLength(point === 'vm.start:prepared' ? 0 : 1);
    await lab.start();
    if (ran === 0) await until('the TPM without a QEMU is gone', () => running().swtpm.length === 0);
    await until('the repeat is answered', async () => (await start(vm, 1, commandId)).ok);
    const now = running();
    expect([now.qemu.length, now.swtpm.length]).toEqual([1, 1]);
    if (ran === 1) expect(now).toEqual(left);
    await lab.powerOff(vm.vmId);
    expect(running()).toEqual({ qemu: [], swtpm: [] });
  });

  test.each(['vm.power-off:intent', 'vm.end:gone', 'vm.release:done'])('at %s leaves nothing', async (point) => {
    const vm = vmWithTpm(142);
    await lab.start({ TOK_TEST_FAULT_POINT: point });
    orThrow(await start(vm));
    void lab.powerOff(vm.vmId).catch(() => undefined);
    await lab.ended();
    await lab.start();
    expect(await lab.powerOff(vm.vmId)).toMatchObject({ state: 'stopped' });
    expect(running()).toEqual({ qemu: [], swtpm: [] });
  });
});

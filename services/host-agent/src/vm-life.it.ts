// A VM's life on one host: real QEMU (firmware only), a real agent process, real NATS.
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { hostStatus, hostVmDefine, hostVmDelete, hostVmPowerOff, hostVmStart, hostVmStop } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { until } from '#testing';
import { AgentLab, smallVm, uidOf } from './agent-lab.fixture.ts';

jest.setTimeout(30_000);

let lab: AgentLab;
beforeAll(async () => {
  lab = await AgentLab.open();
  await lab.start();
}, 60_000);
afterAll(() => lab.close());

const fault = async (asked: Promise<{ ok: boolean }>) => {
  const result = (await asked) as { ok: false; fault: { code: string } } | { ok: true };
  return result.ok ? 'ok' : result.fault.code;
};

describe('start and end', () => {
  test('a started VM runs unprivileged, in a session of its own, with sockets only root can reach', async () => {
    const vm = smallVm(1);
    const status = await lab.startVm(vm);
    expect(status).toMatchObject({ state: 'running', epoch: 1, exitReason: null });
    const proc = readFileSync(`/proc/${status.pid}/status`, 'utf8');
    expect(proc).toMatch(new RegExp(`^Uid:\\s+${uidOf(1)}\\s+${uidOf(1)}\\s+${uidOf(1)}\\s+${uidOf(1)}$`, 'm'));
    expect(proc).toMatch(/^CapEff:\s+0+$/m);
    expect(proc).toMatch(/^CapBnd:\s+0+$/m);
    expect(proc).toMatch(/^NoNewPrivs:\s+1$/m);
    expect(proc).toMatch(/^Seccomp:\s+2$/m);
    const session = readFileSync(`/proc/${status.pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[3];
    expect(session).toBe(String(status.pid));
    const run = join(lab.vmDir(vm.vmId), 'run');
    expect(statSync(run)).toMatchObject({ uid: 0 });
    expect(statSync(run).mode & 0o777).toBe(0o700);
    expect(readdirSync(run).sort()).toEqual(['console.log', 'hmp.sock', 'qga.sock', 'qmp.sock', 'ser.sock', 'vnc.sock']);
    expect(readdirSync(run).map((name) => [name, statSync(join(run, name)).mode & 0o777])).toEqual(readdirSync(run).map((name) => [name, 0o600]));
    expect(readFileSync(`/proc/${status.pid}/cmdline`, 'utf8')).not.toContain(vm.name);
    expect(await lab.powerOff(vm.vmId)).toMatchObject({ state: 'stopped', exitReason: 'requested', pid: null });
  });

  test('a stop that the guest ignores answers after the grace with the VM running', async () => {
    const vm = smallVm(2);
    await lab.startVm(vm);
    const stopped = orThrow(await lab.ask(hostVmStop, { commandId: newUuid(), vmId: vm.vmId, epoch: 1, graceMs: 200 }));
    expect(stopped).toMatchObject({ state: 'running' });
    expect(await lab.powerOff(vm.vmId)).toMatchObject({ state: 'stopped' });
  });

  test('a power-off is taken while a stop waits, and answers both', async () => {
    const vm = smallVm(3);
    await lab.startVm(vm);
    const stop = lab.ask(hostVmStop, { commandId: newUuid(), vmId: vm.vmId, epoch: 1, graceMs: 60_000 });
    await until('it stops', async () => (await lab.status(vm.vmId)).state === 'stopping');
    expect(await lab.powerOff(vm.vmId)).toMatchObject({ state: 'stopped', exitReason: 'requested' });
    expect(orThrow(await stop)).toMatchObject({ state: 'stopped' });
  });

  test('a killed QEMU is noticed and reported', async () => {
    const vm = smallVm(4);
    const reports = lab.reports('vm.changed');
    const { pid } = await lab.startVm(vm);
    process.kill(pid!, 'SIGKILL');
    const seen = await until('the report', () => reports.find(({ vm: told }) => told.vmId === vm.vmId && told.state === 'failed'));
    expect(seen.vm).toMatchObject({ exitReason: 'killed', pid: null });
    expect(seen.vm.detail).toContain('SIGKILL');
    expect(await lab.startVm(vm, 2)).toMatchObject({ state: 'running', epoch: 2, exitReason: null });
    await lab.powerOff(vm.vmId, 2);
  });

  test('a guest that switches itself off is told apart from one that panics', async () => {
    const [off, panic] = [smallVm(10), smallVm(11)];
    await Promise.all([lab.startVm(off), lab.startVm(panic)]);
    // The firmware first sets up the power registers.
    await until('the machine is off', async () => {
      const { state } = await lab.status(off.vmId);
      if (state === 'running') await lab.switchOff(off.vmId);
      return state === 'stopped';
    });
    expect(await lab.status(off.vmId)).toMatchObject({ exitReason: 'guest-shutdown', pid: null });
    await lab.writePort(panic.vmId, 'b', 0x505, 1);
    await until('the panic is seen', async () => (await lab.status(panic.vmId)).state === 'failed');
    expect(await lab.status(panic.vmId)).toMatchObject({ exitReason: 'guest-panic', pid: null });
  });

  test('a QEMU that cannot start explains itself', async () => {
    const vm = smallVm(5, { cpuModel: 'no-such-model' });
    const result = await lab.ask(hostVmStart, { commandId: newUuid(), vmId: vm.vmId, epoch: 1, spec: vm, paused: false });
    expect(result).toMatchObject({ ok: false, fault: { code: 'QEMU_FAILED' } });
    expect(JSON.stringify(result)).toContain('does not know the CPU model');
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'failed', exitReason: 'start-failed', pid: null });
  });
});

describe('epochs and repeats', () => {
  test('a lower epoch than seen is refused in every state', async () => {
    const vm = smallVm(6);
    await lab.startVm(vm, 5);
    const stale = { vmId: vm.vmId, epoch: 4 };
    expect(await fault(lab.ask(hostVmPowerOff, { commandId: newUuid(), ...stale }))).toBe('STALE_EPOCH');
    expect(await fault(lab.ask(hostVmStop, { commandId: newUuid(), ...stale, graceMs: 0 }))).toBe('STALE_EPOCH');
    await lab.powerOff(vm.vmId, 5);
    expect(await fault(lab.ask(hostVmStart, { commandId: newUuid(), ...stale, spec: vm, paused: false }))).toBe('STALE_EPOCH');
    expect(await fault(lab.ask(hostVmDelete, { commandId: newUuid(), ...stale }))).toBe('STALE_EPOCH');
    expect(orThrow(await lab.ask(hostVmDelete, { commandId: newUuid(), vmId: vm.vmId, epoch: 5 }))).toEqual({});
    expect(await fault(lab.ask(hostVmStart, { commandId: newUuid(), ...stale, spec: vm, paused: false }))).toBe('STALE_EPOCH');
  });

  test('the same start twice at once is one QEMU and one answer; later it is the recorded answer', async () => {
    const vm = smallVm(7);
    const commandId = newUuid();
    const [first, second] = await Promise.all([lab.startVm(vm, 1, commandId), lab.startVm(vm, 1, commandId)]);
    expect(second).toEqual(first);
    await lab.powerOff(vm.vmId);
    expect(await lab.startVm(vm, 1, commandId)).toEqual(first);
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'stopped', pid: null });
  });

  test('a deleted VM leaves no directory, and a repeated delete finds its result', async () => {
    const vm = smallVm(8);
    const commandId = newUuid();
    orThrow(await lab.ask(hostVmDefine, { commandId: newUuid(), vmId: vm.vmId, epoch: 1, spec: vm }));
    expect(readdirSync(join(lab.dir, 'vms'))).toContain(vm.vmId);
    for (let repeat = 0; repeat < 2; repeat++) expect(orThrow(await lab.ask(hostVmDelete, { commandId, vmId: vm.vmId, epoch: 1 }))).toEqual({});
    expect(readdirSync(join(lab.dir, 'vms'))).not.toContain(vm.vmId);
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'absent', epoch: 1 });
    expect(orThrow(await lab.ask(hostStatus, {})).vms.map(({ vmId }) => vmId)).not.toContain(vm.vmId);
  });

  test('a VM is not run as a user outside the range', async () => {
    const vm = smallVm(12, { uid: 1_000 });
    expect(await fault(lab.ask(hostVmStart, { commandId: newUuid(), vmId: vm.vmId, epoch: 1, spec: vm, paused: false }))).toBe('INVALID_ARGUMENT');
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'absent' });
  });

  test('a running VM is not deleted and not defined anew', async () => {
    const vm = smallVm(9);
    await lab.startVm(vm);
    expect(await fault(lab.ask(hostVmDelete, { commandId: newUuid(), vmId: vm.vmId, epoch: 1 }))).toBe('WRONG_STATE');
    expect(await fault(lab.ask(hostVmDefine, { commandId: newUuid(), vmId: vm.vmId, epoch: 1, spec: vm }))).toBe('WRONG_STATE');
    await lab.powerOff(vm.vmId);
  });
});

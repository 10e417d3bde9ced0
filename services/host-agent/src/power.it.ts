// Holding a guest still, resetting it, saving its memory and beginning with it again: real QEMU, a real agent process,
// also one that dies in the middle.
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { hostVmDelete, hostVmPause, hostVmReset, hostVmResume, hostVmSave, hostVmStart, hostVolumeDelete, VolumePlace } from '#contracts';
import type { HostVmSpec, HostVmStatus } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { until } from '#testing';
import { AgentLab, smallVm } from './agent-lab.fixture.ts';

jest.setTimeout(60_000);

let lab: AgentLab;
beforeAll(async () => {
  lab = await AgentLab.open();
  await lab.start();
}, 60_000);
afterAll(() => lab.close());

/** A volume as storage would have made it. */
function memoryVolume(vm: HostVmSpec): VolumePlace {
  const volumeId = newUuid();
  const place = VolumePlace.parse({ volumeId, datastoreId: newUuid(), datastorePath: lab.dir, relativePath: `volumes/${volumeId}.qcow2`, format: 'qcow2' });
  const file = join(lab.dir, place.relativePath);
  mkdirSync(join(lab.dir, 'volumes'), { recursive: true, mode: 0o755 });
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', file, '32M']);
  chownSync(file, vm.uid, vm.uid);
  return place;
}

const to = (vm: HostVmSpec, epoch = 1) => ({ commandId: newUuid(), vmId: vm.vmId, epoch });
/** A byte of the machine's that no firmware touches and that is nought in a fresh one: only saved memory brings it back. */
const cell = 0x6f;
async function mark(vm: HostVmSpec, value: number): Promise<void> {
  // Held still meanwhile: the firmware goes to other cells through the same two ports.
  orThrow(await lab.ask(hostVmPause, to(vm)));
  await lab.writePort(vm.vmId, 'b', 0x70, cell);
  await lab.writePort(vm.vmId, 'b', 0x71, value);
  orThrow(await lab.ask(hostVmResume, to(vm)));
}
/** Of a guest that is held still. */
async function markOf(vm: HostVmSpec): Promise<number> {
  await lab.writePort(vm.vmId, 'b', 0x70, cell);
  return lab.readPort(vm.vmId, 'b', 0x71);
}

const openFiles = (pid: number): string[] => readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));

async function begin(index: number): Promise<HostVmSpec> {
  const vm = smallVm(index);
  await lab.startVm(vm);
  return vm;
}

async function wake(vm: HostVmSpec, place: VolumePlace, saved: HostVmStatus, commandId = newUuid()): Promise<HostVmStatus> {
  return orThrow(await lab.ask(hostVmStart, { commandId, vmId: vm.vmId, epoch: 2, spec: vm, paused: false, memory: { place, saved: saved.saved! } }));
}

describe('a guest', () => {
  test('that dies under a pause is told of, and the agent goes on', async () => {
    const vm = await begin(79);
    const { pid } = await lab.status(vm.vmId);
    process.kill(pid!, 'SIGKILL');
    expect((await lab.ask(hostVmPause, to(vm))).ok).toBe(false);
    await until('it is told as failed', async () => (await lab.status(vm.vmId)).state === 'failed');
  });

  test('is held still and goes on, and the agent’s death in between changes nothing', async () => {
    const vm = await begin(71);
    expect(orThrow(await lab.ask(hostVmPause, to(vm)))).toMatchObject({ state: 'paused' });
    await lab.kill();
    await lab.start();
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'paused', detail: null });
    expect(orThrow(await lab.ask(hostVmResume, to(vm)))).toMatchObject({ state: 'running' });
    expect(orThrow(await lab.ask(hostVmReset, to(vm)))).toMatchObject({ state: 'running' });
    await lab.powerOff(vm.vmId);
  });
});

describe('a guest that is let go on', () => {
  test.each(['vm.resume:steered', 'vm.resume:intent'])('and dies together with the agent at %s is answered as one that went on', async (point) => {
    const vm = await begin(80);
    orThrow(await lab.ask(hostVmPause, to(vm)));
    const { pid } = await lab.status(vm.vmId);
    await lab.kill();
    await lab.start({ TOK_TEST_FAULT_POINT: point });
    const command = to(vm);
    await lab.ask(hostVmResume, command, 2_000);
    await lab.ended();
    process.kill(pid!, 'SIGKILL');
    await lab.start();
    expect(orThrow(await lab.ask(hostVmResume, command))).toMatchObject({ state: 'failed' });
    expect(await lab.ask(hostVmResume, to(vm))).toMatchObject({ ok: false, fault: { code: 'WRONG_STATE' } });
    orThrow(await lab.ask(hostVmDelete, to(vm)));
  });

  test('by a QEMU that does not answer is looked at until it does', async () => {
    const vm = await begin(81);
    orThrow(await lab.ask(hostVmPause, to(vm)));
    const { pid } = await lab.status(vm.vmId);
    const command = to(vm);
    process.kill(pid!, 'SIGSTOP');
    const asked = lab.ask(hostVmResume, command);
    await until('it is looked at', async () => (await lab.status(vm.vmId)).state === 'unknown', 30_000);
    process.kill(pid!, 'SIGCONT');
    await asked;
    await until('it has gone on', async () => { const again = await lab.ask(hostVmResume, command); return again.ok && again.value.state === 'running'; });
    await lab.powerOff(vm.vmId);
  });
});

describe('a memory', () => {
  test('is saved, its QEMU ends, and a QEMU that begins with it is where it was', async () => {
    const vm = await begin(73);
    await mark(vm, 0xed);
    const place = memoryVolume(vm);
    const saved = orThrow(await lab.ask(hostVmSave, { ...to(vm), place }));
    expect(saved).toMatchObject({ state: 'stopped', exitReason: 'saved', pid: null, saved: { machine: expect.stringMatching(/^pc-q35-/) } });
    expect(saved.saved!.rootPorts.length).toBeGreaterThan(0);
    const woken = await wake(vm, place, saved);
    expect(woken).toMatchObject({ state: 'paused', saved: null });
    expect(await markOf(vm)).toBe(0xed);
    expect(orThrow(await lab.ask(hostVmResume, to(vm, 2)))).toMatchObject({ state: 'running' });
    await lab.powerOff(vm.vmId, 2);
  });

  test('that cannot be saved leaves the VM running, and a volume that holds none is refused at the start', async () => {
    const vm = await begin(74);
    const place = memoryVolume(vm);
    const nowhere = { ...place, relativePath: `volumes/${newUuid()}.qcow2` };
    expect(await lab.ask(hostVmSave, { ...to(vm), place: nowhere })).toMatchObject({ ok: false });
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'running' });
    await lab.powerOff(vm.vmId);
    const refused = await lab.ask(hostVmStart, { ...to(vm, 2), spec: vm, paused: false, memory: { place, saved: { machine: 'pc-q35-7.2', rootPorts: [] } } });
    expect(refused).toMatchObject({ ok: false, fault: { code: 'QEMU_FAILED' } });
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'failed', pid: null });
  });

  test('is saved all the same, and is what it was, when the agent dies before its QEMU has ended', async () => {
    const vm = await begin(75);
    await mark(vm, 0xfe);
    const place = memoryVolume(vm);
    await lab.kill();
    await lab.start({ TOK_TEST_FAULT_POINT: 'vm.save:saved' });
    const command = { ...to(vm), place };
    await lab.ask(hostVmSave, command, 3_000);
    await lab.ended();
    await lab.start();
    const saved = await until('it is saved', async () => {
      const answer = await lab.ask(hostVmSave, command);
      return answer.ok ? answer.value : null;
    });
    expect(saved).toMatchObject({ state: 'stopped', exitReason: 'saved', saved: { rootPorts: expect.any(Array) } });
    await wake(vm, place, saved);
    expect(await markOf(vm)).toBe(0xfe);
    await lab.powerOff(vm.vmId, 2);
  });

  test('that is being written when the agent dies is let go of when its guest goes on after all', async () => {
    const vm = await begin(82);
    const place = memoryVolume(vm);
    await lab.kill();
    await lab.start({ TOK_TEST_FAULT_POINT: 'vm.save:begun' });
    await lab.ask(hostVmSave, { ...to(vm), place }, 3_000);
    await lab.ended();
    await lab.start();
    const resume = to(vm);
    await until('it goes on', async () => { const answer = await lab.ask(hostVmResume, resume); return answer.ok && answer.value.state === 'running'; });
    const { pid } = await lab.status(vm.vmId);
    expect(openFiles(pid!).filter((file) => file.includes(place.volumeId))).toEqual([]); // deleted, it would take its room until QEMU ends
    expect(await lab.ask(hostVolumeDelete, { commandId: newUuid(), place })).toEqual({ ok: true, value: {} });
    await lab.powerOff(vm.vmId);
  });

  test.each(['vm.start:launched', 'vm.start:running'])('is begun with once more when the agent dies at %s: a QEMU without it never runs', async (point) => {
    const vm = await begin(76);
    await mark(vm, 0xef);
    const place = memoryVolume(vm);
    const saved = orThrow(await lab.ask(hostVmSave, { ...to(vm), place }));
    await lab.kill();
    await lab.start({ TOK_TEST_FAULT_POINT: point });
    const commandId = newUuid();
    await lab.ask(hostVmStart, { commandId, vmId: vm.vmId, epoch: 2, spec: vm, paused: false, memory: { place, saved: saved.saved! } }, 3_000);
    await lab.ended();
    await lab.start();
    const woken = await until('it is woken', async () => {
      const answer = await lab.ask(hostVmStart, { commandId, vmId: vm.vmId, epoch: 2, spec: vm, paused: false, memory: { place, saved: saved.saved! } });
      return answer.ok ? answer.value : null;
    });
    expect(woken).toMatchObject({ state: 'paused' });
    expect(await markOf(vm)).toBe(0xef);
    await lab.powerOff(vm.vmId, 2);
    orThrow(await lab.ask(hostVmDelete, to(vm, 2)));
  });
});

// The agent dies and comes back: guests never notice, and what was under way is completed or may be sent again. Real
// processes, killed for real at named points.
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostConfirm, hostStatus, hostVmDelete, hostVmStart, hostVolumeCancel, hostVolumeCopy, hostVolumeCreate } from '#contracts';
import type { DatastoreId, HostVmSpec, VolumeId, VolumePlace } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { until } from '#testing';
import { createLogger } from '#telemetry';
import { AgentLab, endProcess, qemuPidsOf, smallVm } from './agent-lab.fixture.ts';
import { HostMemory } from './host/host-memory.store.ts';

jest.setTimeout(60_000);

let lab: AgentLab;
beforeEach(async () => { lab = await AgentLab.open(); });
afterEach(() => lab.close());

const startTicks = (pid: number): string => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19] ?? '';
const startInput = (vm: HostVmSpec, commandId: string, epoch = 1) => ({ commandId, vmId: vm.vmId, epoch, spec: vm, paused: false });

describe('agent killed with VMs running', () => {
  test('three VMs go on as the same processes and are adopted', async () => {
    await lab.start();
    const vms = [smallVm(21), smallVm(22), smallVm(23)];
    const before = await Promise.all(vms.map((vm) => lab.startVm(vm)));
    const ticks = before.map(({ pid }) => startTicks(pid!));
    await lab.kill();
    await lab.start();
    const after = await Promise.all(vms.map(({ vmId }) => lab.status(vmId)));
    expect(after.map(({ pid, state, epoch }) => ({ pid, state, epoch }))).toEqual(before.map(({ pid }) => ({ pid, state: 'running', epoch: 1 })));
    expect(after.map(({ pid }) => startTicks(pid!))).toEqual(ticks);
    for (const { vmId } of vms) expect(await lab.powerOff(vmId)).toMatchObject({ state: 'stopped', exitReason: 'requested' });
  });

  test('a VM that ended meanwhile is told as ended, and its ports are not kept', async () => {
    await lab.start();
    const vm = smallVm(24);
    const { pid } = await lab.startVm(vm);
    await lab.kill();
    await endProcess(pid!);
    await lab.start();
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'failed', exitReason: 'qemu-crashed', pid: null });
  });

  test('a stopped (SIGSTOP) QEMU is unknown, never stopped; it is adopted when it goes on', async () => {
    await lab.start();
    const vm = smallVm(25);
    const { pid } = await lab.startVm(vm);
    await lab.kill();
    process.kill(pid!, 'SIGSTOP');
    await lab.start();
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'unknown', pid });
    const refused = await lab.ask(hostVmStart, startInput(vm, newUuid()));
    expect(refused).toMatchObject({ ok: false, fault: { code: 'VM_BUSY' } });
    process.kill(pid!, 'SIGCONT');
    await until('it is adopted', async () => (await lab.status(vm.vmId)).state === 'running');
    expect(await lab.status(vm.vmId)).toMatchObject({ pid });
  });

  test('a guest that ended while the agent was away is told with its reason', async () => {
    await lab.start();
    const vm = smallVm(27);
    await lab.startVm(vm);
    await lab.kill();
    await lab.writePort(vm.vmId, 'b', 0x505, 1);
    await lab.start();
    await until('it rests', async () => (await lab.status(vm.vmId)).state === 'failed');
    expect(await lab.status(vm.vmId)).toMatchObject({ exitReason: 'guest-panic', pid: null });
  });

  test('SIGTERM drains and leaves the guest running', async () => {
    await lab.start();
    const { pid } = await lab.startVm(smallVm(26));
    lab.signal('SIGTERM');
    expect(await lab.ended()).toBe(0);
    expect(qemuPidsOf(lab.dir)).toEqual([pid]);
  });
});

test('a QEMU that Tokamak did not start is shown as unmanaged and left alone', async () => {
  const uuid = newUuid();
  const other = spawn('qemu-system-x86_64', ['-name', 'not-ours', '-uuid', uuid, '-m', '16', '-nodefaults', '-display', 'none', '-accel', 'tcg'], { stdio: 'ignore' });
  try {
    await lab.start();
    await until('it is shown', async () => orThrow(await lab.ask(hostStatus, {})).unmanaged.find((one) => one.pid === other.pid && one.uuid === uuid && one.name === 'not-ours'));
    await lab.kill();
    await lab.start();
    expect(orThrow(await lab.ask(hostStatus, {})).unmanaged.map(({ pid }) => pid)).toContain(other.pid);
    expect(other.exitCode).toBeNull();
  } finally {
    await endProcess(other.pid!);
  }
});

test('a second agent on one directory is refused', async () => {
  await lab.start();
  const first = await lab.ask(hostStatus, {});
  const second = await AgentLab.open();
  try {
    second.spawnAgent({ TOK_HOST_DIR: lab.dir });
    expect(await second.ended()).not.toBe(0);
    expect(readFileSync(second.logFile, 'utf8')).toContain('another agent works on');
  } finally {
    await second.close();
  }
  expect(first.ok && (await lab.ask(hostStatus, {})).ok).toBe(true);
});

// At the points that every command has, each is killed in faults/agent-kill.it.ts.
describe('agent killed within an effect', () => {
  const points = [
    { point: 'vm.start:prepared', ran: false },
    { point: 'vm.start:launched', ran: true },
  ];
  test.each(points)('a start that dies at $point ends as one running QEMU', async ({ point, ran }) => {
    const vm = smallVm(31);
    const input = startInput(vm, newUuid());
    await lab.start({ TOK_TEST_FAULT_POINT: point });
    void lab.ask(hostVmStart, input, 2_000);
    await lab.ended();
    await until('what it left shows its command line', () => qemuPidsOf(lab.dir).length === (ran ? 1 : 0)); // a program that just begins has none
    const left = qemuPidsOf(lab.dir);
    await lab.start();
    if (ran) await until('it is adopted', async () => (await lab.status(vm.vmId)).state === 'running');
    const again = await until('the repeat is answered', async () => {
      const answer = await lab.ask(hostVmStart, input);
      return answer.ok ? answer.value : null;
    });
    expect(again).toMatchObject({ state: 'running', epoch: 1 });
    expect(qemuPidsOf(lab.dir)).toHaveLength(1);
    if (ran) expect(again.pid).toBe(left[0]);
  });

  test('a power-off that dies when QEMU is gone ends as no QEMU', async () => {
    const vm = smallVm(32);
    await lab.start({ TOK_TEST_FAULT_POINT: 'vm.end:gone' });
    await lab.startVm(vm);
    void lab.ask(hostVmStart, startInput(vm, newUuid()), 2_000);
    void lab.powerOff(vm.vmId).catch(() => undefined);
    await lab.ended();
    await lab.start();
    expect(await lab.powerOff(vm.vmId)).toMatchObject({ state: 'stopped', exitReason: 'requested', pid: null });
    expect(qemuPidsOf(lab.dir)).toEqual([]);
  });

  test('a delete that dies when it is on record, before the directory is gone, ends as no directory', async () => {
    const vm = smallVm(33);
    await lab.start({ TOK_TEST_FAULT_POINT: 'vm.delete:buried' });
    await lab.startVm(vm);
    await lab.powerOff(vm.vmId);
    const input = { commandId: newUuid(), vmId: vm.vmId, epoch: 1 };
    void lab.ask(hostVmDelete, input, 2_000);
    await lab.ended();
    await lab.start();
    expect(orThrow(await lab.ask(hostVmDelete, input))).toEqual({});
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'absent' });
  });

  const place = (): VolumePlace => {
    const volumeId = newUuid();
    return { volumeId: volumeId as VolumeId, datastoreId: newUuid() as DatastoreId, datastorePath: join(lab.dir, 'store'), relativePath: `volumes/${volumeId}.raw`, format: 'raw' };
  };

  test('a volume whose creation died after the effect has its result completed by the probe, also when nobody asks', async () => {
    const input = { commandId: newUuid(), place: place(), sizeBytes: 1024 * 1024, backing: null };
    await lab.start({ TOK_TEST_FAULT_POINT: 'volume.create:effect' });
    void lab.ask(hostVolumeCreate, input, 2_000);
    await lab.ended();
    await lab.start();
    await until('the journal has the result', () => readFileSync(join(lab.dir, 'host.ndjson'), 'utf8').includes('"type":"result"'));
    expect(orThrow(await lab.ask(hostVolumeCreate, input))).toEqual({ allocatedBytes: 0 });
  });

  test('a cancelled copy answers so, and its result is forgotten only when confirmed', async () => {
    await lab.start();
    const input = { commandId: newUuid(), from: place(), to: place(), sizeBytes: 1024 * 1024 };
    const progress = lab.reports('volume.progress');
    const copy = lab.ask(hostVolumeCopy, input);
    await until('progress', () => progress.length > 0);
    expect(await lab.ask(hostVolumeCopy, input, 400)).toMatchObject({ ok: false, fault: { code: 'COMMAND_RUNNING' } });
    orThrow(await lab.ask(hostVolumeCancel, { commandId: newUuid(), targetCommandId: input.commandId }));
    expect(await copy).toMatchObject({ ok: false, fault: { code: 'COMMAND_CANCELLED' } });
    expect(await lab.ask(hostVolumeCopy, input)).toMatchObject({ ok: false, fault: { code: 'COMMAND_CANCELLED' } });
    orThrow(await lab.ask(hostConfirm, { commandIds: [input.commandId] }));
    expect(await lab.ask(hostVolumeCopy, input, 400)).toMatchObject({ ok: false, fault: { code: 'COMMAND_RUNNING' } });
  });
});

describe('damage', () => {
  test('an intent that cannot be read, of an older version or by a changed hand, does not end the agent', async () => {
    const [commandId, place] = [newUuid(), { volumeId: newUuid() as VolumeId, datastoreId: newUuid() as DatastoreId, datastorePath: join(lab.dir, 'store'), relativePath: `volumes/${newUuid()}.raw`, format: 'raw' as const }];
    const memory = await HostMemory.open(lab.dir, createLogger('test', { level: 'silent' }));
    orThrow(await memory.append([{ type: 'intent', at: Date.now(), commandId, name: 'volume.create', input: { place: 'elsewhere' } }]));
    await memory.close();
    await lab.start();
    await until('it is told', () => lab.log().includes('what became of a command cannot be seen'));
    // Sent again, it is carried out; what is read of it from now on is its result.
    expect(orThrow(await lab.ask(hostVolumeCreate, { commandId, place, sizeBytes: 1024 * 1024, backing: null }))).toEqual({ allocatedBytes: 0 });
    await lab.kill();
    await lab.start();
    expect(orThrow(await lab.ask(hostVolumeCreate, { commandId, place, sizeBytes: 1024 * 1024, backing: null }))).toEqual({ allocatedBytes: 0 });
    expect(readFileSync(join(place.datastorePath, place.relativePath), 'utf8').split('\n').filter(Boolean)).toHaveLength(1);
  });

  test('a torn last line is ignored; a flipped bit is told, and the VM is kept', async () => {
    await lab.start();
    const [torn, flipped] = [smallVm(41), smallVm(42)];
    const before = [await lab.startVm(torn), await lab.startVm(flipped)];
    await lab.kill();
    appendFileSync(join(lab.vmDir(torn.vmId), 'journal.ndjson'), '0123456789abcdef {"type":"vm","at":1,"vm":{"sta');
    const journal = join(lab.vmDir(flipped.vmId), 'journal.ndjson');
    const text = readFileSync(journal, 'utf8');
    writeFileSync(journal, text.replace('"epoch":1', '"epoch":0'));
    await lab.start();
    expect(await lab.status(torn.vmId)).toMatchObject({ state: 'running', pid: before[0]!.pid, detail: null });
    const kept = await lab.status(flipped.vmId);
    expect(kept).toMatchObject({ state: 'running', pid: before[1]!.pid, epoch: 1 });
    expect(kept.detail).toContain('journal.ndjson is damaged in line 1');
    expect(readFileSync(lab.logFile, 'utf8')).toContain('journal.ndjson is damaged in line 1');
    expect(readFileSync(`${journal}.damaged`, 'utf8')).toContain('"epoch":0');
  });

  test('a document that cannot be read keeps the VM and its epoch', async () => {
    await lab.start();
    const vm = smallVm(43);
    await lab.startVm(vm, 7);
    await lab.powerOff(vm.vmId, 7);
    await lab.kill();
    writeFileSync(join(lab.vmDir(vm.vmId), 'vm.json'), '{"epoch":');
    await lab.start();
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'stopped', epoch: 7 });
    expect((await lab.status(vm.vmId)).detail).toContain('vm.json');
    expect(await lab.startVm(vm, 8)).toMatchObject({ state: 'running', epoch: 8 });
  });
});

test('reports carry a rising order across restarts, and joining tells every VM', async () => {
  await lab.start();
  const vm = smallVm(51);
  const changes = lab.reports('vm.changed');
  const joins = lab.reports('host.joined');
  await lab.startVm(vm);
  await until('the change is told', () => changes.some((one) => one.vm.vmId === vm.vmId && one.vm.state === 'running'));
  await lab.kill();
  await lab.start();
  const joined = await until('the join is told', () => joins.find((one) => one.order.epoch === 2));
  expect(joined).toMatchObject({ vms: [{ vmId: vm.vmId, state: 'running' }] });
  const orders = changes.map(({ order }) => order);
  expect(orders.every(({ bootId }) => bootId === joined.order.bootId)).toBe(true);
  const sorted = [...orders].sort((a, b) => a.epoch - b.epoch || a.seq - b.seq);
  expect(orders).toEqual(sorted);
});

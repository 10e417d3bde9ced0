// A QEMU that nobody knows, beside one that the agent keeps: it is told of with what names it for sure, and ended when that is said.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { hostPortMend, hostQemuEnd, hostStatus, hostSwitchSurvey } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { until } from '#testing';
import { AgentLab, endProcess, smallVm } from './agent-lab.fixture.ts';
import { startTicksOf } from './vm/process-table.proc.ts';

let lab: AgentLab;
let stranger: ChildProcess;
beforeAll(async () => {
  lab = await AgentLab.open();
  await lab.start();
  stranger = spawn('qemu-system-x86_64', ['-name', 'stranger', '-machine', 'none', '-nodefaults', '-display', 'none', '-S'], { stdio: 'ignore' });
}, 60_000);
afterAll(async () => {
  await endProcess(stranger.pid ?? 0);
  await lab.close();
});

const strangers = async () => orThrow(await lab.ask(hostStatus, {})).unmanaged.filter(({ pid }) => pid === stranger.pid);
const end = (pid: number, startTicks: number, commandId = newUuid()) => lab.ask(hostQemuEnd, { commandId, pid, startTicks });

it('is ended by its pid and its start together, once; a VM of the host is refused', async () => {
  const spec = smallVm(1);
  const { pid } = await lab.startVm(spec);
  const [seen] = await until('the stranger is seen', async () => ((await strangers()).length > 0 ? strangers() : undefined));
  expect(seen).toMatchObject({ name: 'stranger', startTicks: await startTicksOf(stranger.pid!) });
  expect(await end(pid!, (await startTicksOf(pid!))!)).toMatchObject({ ok: false, fault: { code: 'IN_USE' } });
  // Another process that had this pid before: it is gone, and the one that has it now is not it.
  expect(await end(stranger.pid!, seen!.startTicks! - 1)).toMatchObject({ ok: true });
  expect(await strangers()).toHaveLength(1);

  const commandId = newUuid();
  expect(await end(stranger.pid!, seen!.startTicks!, commandId)).toMatchObject({ ok: true });
  expect(await end(stranger.pid!, seen!.startTicks!, commandId)).toMatchObject({ ok: true });
  expect(await strangers()).toEqual([]);
  expect(await lab.status(spec.vmId)).toMatchObject({ state: 'running', pid });
}, 60_000);

it('the switches of the host are told of, and a NIC is mended only of a VM that runs', async () => {
  expect(await lab.ask(hostSwitchSurvey, {})).toEqual({ ok: true, value: { switches: [], ports: [], missing: [] } });
  expect(await lab.ask(hostPortMend, { commandId: newUuid(), vmId: smallVm(2).vmId, nicId: newUuid() })).toMatchObject({ ok: false, fault: { code: 'NOT_FOUND_ON_HOST' } });
});

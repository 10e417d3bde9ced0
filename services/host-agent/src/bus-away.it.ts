// The bus is away: everything on the host goes on, and joining again tells what has changed meanwhile.
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { existsSync } from 'node:fs';
import { hostVmStatus } from '#contracts';
import { until } from '#testing';
import { AgentLab, qemuPidsOf, smallVm } from './agent-lab.fixture.ts';

jest.setTimeout(60_000);

let server: ChildProcess;
let port: number;
let lab: AgentLab;

const freePort = (): Promise<number> => new Promise((resolve) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port: free } = probe.address() as AddressInfo;
    probe.close(() => resolve(free));
  });
});
const startBus = (): void => { server = spawn(process.env['TOK_TEST_NATS_BINARY'] ?? 'nats-server', ['-a', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' }); };
const killBus = (): Promise<unknown> => {
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGKILL');
  return ended;
};

beforeEach(async () => {
  port = await freePort();
  startBus();
  lab = await until('the bus answers', () => AgentLab.open(`nats://127.0.0.1:${port}`).catch(() => null));
});
afterEach(async () => {
  await lab.close();
  await killBus();
});

test('a VM that ended while the bus was away is told by joining', async () => {
  await lab.start();
  const [stays, ends] = [smallVm(91), smallVm(92)];
  await lab.startVm(stays);
  const { pid } = await lab.startVm(ends);
  const joins = lab.reports('host.joined') as unknown as { vms: { vmId: string; state: string; exitReason: string | null }[] }[];
  await killBus();
  process.kill(pid!, 'SIGKILL');
  await until('the agent has seen the end', () => !existsSync(`/proc/${pid}`));
  startBus();
  const told = await until('it joins', () => joins.at(-1));
  expect(told.vms.find(({ vmId }) => vmId === ends.vmId)).toMatchObject({ state: 'failed', exitReason: 'killed' });
  expect(told.vms.find(({ vmId }) => vmId === stays.vmId)).toMatchObject({ state: 'running' });
  expect(await lab.powerOff(stays.vmId)).toMatchObject({ state: 'stopped' });
});

test('an agent that starts without a bus adopts what runs, and serves when the bus comes', async () => {
  await lab.start();
  const vm = smallVm(93);
  const { pid } = await lab.startVm(vm);
  await lab.kill();
  await killBus();
  lab.spawnAgent();
  await until('it has looked', () => lab.log().split('the host has been looked at').length > 2);
  expect(qemuPidsOf(lab.dir)).toEqual([pid]);
  startBus();
  await until('it serves', async () => {
    const answer = await lab.ask(hostVmStatus, { vmId: vm.vmId }, 500);
    return answer.ok && answer.value.state === 'running';
  });
});

// What QEMU is allowed, read from the kernel for every VM that runs: a user of its own, no capability and no way to get
// one, a system-call filter, a control group, sockets that nobody else reaches, and no port on any network.
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Vm } from '#contracts';
import { inside, run, succeeds } from './lab.mjs';
import { argumentsOf, qemusOf, statusOf } from './qemu.ts';
import { deploy, removeOwn } from './vms.ts';
import { hostOf, openWorld, vmDirectory } from './world.ts';
import type { World } from './world.ts';

let world: World;
let vms: { vm: Vm; pid: number }[];
beforeAll(async () => {
  world = await openWorld('cage');
  const made = await Promise.all([deploy(world, 'a'), deploy(world, 'b')]);
  vms = await Promise.all(made.map(async (vm) => ({ vm, pid: (await qemusOf(world, vm.id))[0]!.pid })));
}, 60_000);
afterAll(() => removeOwn(world));

describe('a VM’s QEMU', () => {
  it('runs under the VM’s own user and group, apart from every other VM’s', () => {
    for (const { vm, pid } of vms) {
      const status = statusOf(pid);
      expect(status.get('Uid')).toBe(Array(4).fill(vm.uid).join('\t'));
      expect(status.get('Gid')).toBe(Array(4).fill(vm.uid).join('\t'));
      expect(vm.uid).toBeGreaterThanOrEqual(200_000);
      expect(status.get('Groups')?.split(' ')).not.toContain('0');
    }
    expect(new Set(vms.map(({ vm }) => vm.uid)).size).toBe(vms.length);
  });

  it('has no capability, no new privileges and a system-call filter', () => {
    for (const { pid } of vms) {
      const status = statusOf(pid);
      const seen = Object.fromEntries(['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp'].map((name) => [name, status.get(name)]));
      const none = '0000000000000000';
      expect(seen).toEqual({ CapInh: none, CapPrm: none, CapEff: none, CapBnd: none, CapAmb: none, NoNewPrivs: '1', Seccomp: '2' });
      expect(argumentsOf(pid)).toContain('on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny');
    }
  });

  it('is no child of the agent, and is in a session and a control group of its own', () => {
    const groups = vms.map(({ pid }) => readFileSync(`/proc/${pid}/cgroup`, 'utf8'));
    for (const [index, { vm, pid }] of vms.entries()) {
      const agent = world.lab.processes.get(`host-agent-${hostOf(world, vm).name}`)!.pid;
      expect(groups[index]).toContain(hostOf(world, vm).cgroup);
      expect(groups[index]).toContain(vm.id);
      expect(sessionOf(pid)).toBe(pid);
      expect(sessionOf(agent)).not.toBe(pid);
    }
  });

  it('listens on no network, and its sockets are in a directory that only root enters', async () => {
    for (const { vm, pid } of vms) {
      const listening = await run(inside(hostOf(world, vm).namespace, ['ss', '-Hlntup']));
      expect(listening).not.toContain(`pid=${pid},`);
      const directory = join(vmDirectory(world, vm), 'run');
      expect([statSync(directory).uid, statSync(directory).mode & 0o777]).toEqual([0, 0o700]);
      expect(readdirSync(directory)).toEqual(expect.arrayContaining(['qmp.sock', 'vnc.sock', 'ser.sock']));
    }
  });

  it('cannot read another VM’s disk', async () => {
    const [a, b] = vms as [typeof vms[0], typeof vms[0]];
    const disk = (vm: Vm): string => join(world.record.datastore.path, 'volumes', `${vm.spec.disks[0]!.volumeId}.qcow2`);
    const reads = (vm: Vm, file: string): Promise<boolean> => succeeds(['head', '-c', '4', file], { uid: vm.uid, gid: vm.uid });
    expect(await reads(a.vm, disk(a.vm))).toBe(true);
    expect(await reads(a.vm, disk(b.vm))).toBe(false);
  });
});

/** Field 6 of /proc/PID/stat. */
function sessionOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[3]);
}

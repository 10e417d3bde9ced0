// The first day of a user, through REST: hosts, an image, a template, three VMs at once that meet on one VLAN and not
// across, stop, start, delete; and at the end nothing is left anywhere.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { createImage, createTemplate, deleteImage, deleteTemplate, deleteVm, getImage, getVm, listHosts, listTasks, startVm, stopVm, TaskRef } from '#contracts';
import type { Template, Vm } from '#contracts';
import { eventually } from './eventually.ts';
import { inGuest, pings, reached } from './guest-shell.ts';
import { holdings } from './holdings.ts';
import type { Holdings } from './holdings.ts';
import { qemusOf } from './qemu.ts';
import { addressOf, answersPing, begin, booted, consoleOf, deploy, removeOwn, removeOwnVms, vmOf } from './vms.ts';
import { MiB, openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let before: Holdings;

beforeAll(async () => {
  world = await openWorld('day');
  before = await holdings(world);
});
afterAll(() => removeOwn(world));

describe('the first day', () => {
  let template: Template;
  let three: Vm[] = [];
  let across: Vm;

  it('shows three connected hosts, each with its accelerator and the reason for it', async () => {
    const { items } = await world.rest.ask(listHosts, {});
    expect(items.map((host) => [host.name, host.state])).toEqual(expect.arrayContaining([['host1', 'connected'], ['host2', 'connected'], ['host3', 'connected']]));
    for (const host of items) {
      expect(host.inventory?.accelerator).toMatch(/^(kvm|tcg)$/);
      expect(host.inventory?.acceleratorReason).not.toBe('');
    }
  });

  it('imports an image by upload and makes a template of it', async () => {
    const image = await world.rest.ask(createImage, { name: `${world.prefix}-image`, format: 'qcow2' });
    expect(image.state).toBe('awaiting-upload');
    const sent = await world.rest.send('PUT', `/v1/images/${image.id}/content`, { rawBody: new Uint8Array(await readFile(world.record.guestImage)), headers: { 'content-type': 'application/octet-stream', 'idempotency-key': image.id } });
    expect({ status: sent.status, body: sent.body }).toMatchObject({ status: 202 });
    const ref = TaskRef.parse(sent.body);
    expect(sent.headers.get('location')).toBe(`/v1/tasks/${ref.taskId}`);
    await world.rest.succeeded(ref);
    const ready = await world.rest.ask(getImage, { imageId: image.id });
    expect(ready).toMatchObject({ state: 'ready', virtualBytes: 64 * MiB });
    template = await world.rest.ask(createTemplate, { name: `${world.prefix}-template`, imageId: image.id, memoryBytes: 128 * MiB });
  });

  it('deploys three VMs at once from it, and one on another VLAN', async () => {
    const from = { templateId: template.id, deploy: 'full' as const };
    const other = { nics: [{ portGroupId: world.record.otherNetwork.portGroupId }] };
    const refs = await Promise.all([begin(world, 'a', from), begin(world, 'b', from), begin(world, 'c', from), begin(world, 'x', { ...from, ...other })]);
    const tasks = await Promise.all(refs.map((ref) => world.rest.succeeded(ref)));
    expect(tasks.map((task) => task.steps.every((step) => step.state === 'done'))).toEqual([true, true, true, true]);
    const vms = await Promise.all(refs.map(async (ref) => booted(world, await vmOf(world, ref.objectId))));
    [three, across] = [vms.slice(0, 3), vms[3]!];
    expect(vms.map((vm) => vm.status.state)).toEqual(['running', 'running', 'running', 'running']);
    for (const vm of vms) expect(await qemusOf(world, vm.id)).toHaveLength(1);
  }, 180_000);

  it('gives each an address of its own, which the guest has taken and which answers from the physical network', async () => {
    const addresses = three.map(addressOf);
    expect(new Set(addresses).size).toBe(3);
    for (const vm of three) {
      expect((await inGuest(world, vm, 'ip -4 addr show dev eth0')).output).toContain(`inet ${addressOf(vm)}/24`);
      await answersPing(world, vm);
    }
  }, 60_000);

  it('lets them reach each other on one VLAN and not across VLANs', async () => {
    const [a, b, c] = three as [Vm, Vm, Vm];
    for (const [from, to] of [[a, b], [b, c], [c, a]] as const) expect([from.name, to.name, await pings(world, from, addressOf(to))]).toEqual([from.name, to.name, true]);
    // The other VLAN has the same subnet, so only the VLAN stands between them. An address that both VLANs gave out proves nothing.
    const others = three.map(addressOf).filter((ip) => ip !== addressOf(across));
    expect(others).not.toEqual([]);
    expect(await reached(world, across, others)).toEqual([]);
    expect(await reached(world, a, others.filter((ip) => ip !== addressOf(a)))).not.toEqual([]);
  }, 120_000);

  it('lets two VMs on different hosts reach each other over the trunk, TCP included', async () => {
    const [one, two] = await Promise.all(world.record.hosts.slice(0, 2).map(async (host) => booted(world, await deploy(world, `on-${host.name}`, { hostId: host.id }))));
    expect(one!.status.hostId).not.toBe(two!.status.hostId);
    const page = await eventually('the page of the other guest', async () => {
      const { output } = await inGuest(world, one!, `printf 'GET /cgi-bin/index.cgi HTTP/1.0\\r\\n\\r\\n' | nc -w 10 ${addressOf(two!)} 80`);
      if (output.includes('refused')) throw new Error(output); // its web server comes a moment after its address
      return output;
    });
    expect(page).toContain('is up for');
  }, 120_000);

  it('stops one with the guest’s consent and starts it again with its disk and address', async () => {
    const [vm] = three as [Vm];
    await world.rest.carryOut(stopVm, { vmId: vm.id });
    expect((await vmOf(world, vm.id)).status.state).toBe('stopped');
    expect(await qemusOf(world, vm.id)).toEqual([]);
    const { length } = await consoleOf(world, vm);
    await world.rest.carryOut(startVm, { vmId: vm.id });
    const again = await booted(world, await vmOf(world, vm.id), length);
    expect(again.status.state).toBe('running');
    expect(again.status.epoch).toBeGreaterThan(vm.status.epoch);
    expect(addressOf(again)).toBe(addressOf(vm));
    // The counter finds what the boot before wrote to the disk.
    expect((await consoleOf(world, again)).slice(length)).toMatch(/FOUND COUNT \d+/);
    await answersPing(world, again);
  }, 120_000);

  it('refuses to delete a running VM without force, and deletes all with it', async () => {
    const [a] = three as [Vm];
    expect(await world.rest.refusal(deleteVm, { vmId: a.id })).toMatchObject({ status: 409, code: 'WRONG_STATE' });
    await removeOwnVms(world);
    expect(await world.rest.refusal(getVm, { vmId: a.id })).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  }, 60_000);

  it('leaves nothing behind', async () => {
    await world.rest.ask(deleteTemplate, { templateId: template.id });
    await world.rest.carryOut(deleteImage, { imageId: template.imageId });
    expect(await holdings(world)).toEqual(before);
    const { items } = await world.rest.ask(listTasks, { open: true });
    expect(items).toEqual([]);
  });
});

// VMs of the tests: deployed small from the template, watched while they boot, and removed at the end with whatever else
// the test made under its own prefix.
import { existsSync } from 'node:fs';
import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createVm, deleteImage, deleteTemplate, deleteVm, getVm, listCapacity, listImages, listTemplates, listVms, powerOffVm, purgeVm, startVm } from '#contracts';
import type { CreateVm, RequestOf, TaskRef, Vm } from '#contracts';
import { eventually } from './eventually.ts';
import { bootRetriesFile, pingFromUplink } from './lab.mjs';
import { Refusal } from './rest.ts';
import { MiB, vmDirectory } from './world.ts';
import type { World } from './world.ts';

type Wanted = Partial<RequestOf<{ input: typeof CreateVm }>>;

/** A boot under emulation on a crowded machine may hang; a guest that is not there after this long is started again, once, ms. */
const BOOT_WITHIN_MS = 60_000;

/** The request for a small linked clone of the template with one NIC on the first VLAN. */
export function small({ record, prefix }: World, name: string, wanted: Wanted = {}): RequestOf<typeof createVm> {
  return {
    name: `${prefix}-${name}`, templateId: record.template.id, deploy: 'linked', memoryBytes: 128 * MiB,
    nics: [{ portGroupId: record.network.portGroupId }], ...wanted,
  };
}

export const begin = (world: World, name: string, wanted?: Wanted, key?: string): Promise<TaskRef> =>
  world.rest.ask(createVm, small(world, name, wanted), key === undefined ? {} : { key });

/** Deploys and waits for the task; the guest may still boot. */
export async function deploy(world: World, name: string, wanted?: Wanted): Promise<Vm> {
  const ref = await begin(world, name, wanted);
  await world.rest.succeeded(ref);
  return vmOf(world, ref.objectId);
}

export const vmOf = ({ rest }: World, vmId: string): Promise<Vm> => rest.ask(getVm, { vmId: getVm.input.shape.vmId.parse(vmId) });

export async function consoleOf(world: World, vm: Vm): Promise<string> {
  const file = join(vmDirectory(world, vm), 'run', 'console.log');
  return existsSync(file) ? readFile(file, 'utf8') : '';
}

/** Numbers n and uptimes (s) of the `COUNT n uptime` lines that the guest has written since its last boot. */
export async function countsOf(world: World, vm: Vm): Promise<{ n: number; uptime: number }[]> {
  const text = await consoleOf(world, vm);
  const sinceBoot = text.slice(Math.max(0, text.lastIndexOf('GUEST-UP')));
  return [...sinceBoot.matchAll(/^COUNT (\d+) ([\d.]+)/gm)].map(([, n, uptime]) => ({ n: Number(n), uptime: Number(uptime) }));
}

export const addressOf = (vm: Vm): string => {
  const ip = vm.spec.nics[0]?.ip;
  if (!ip) throw new Error(`${vm.name} has no address: ${JSON.stringify(vm.spec.nics)}`);
  return ip;
};

/** Waits until the guest has taken its address by DHCP, told behind `since` characters of its console. One hung boot is repeated, and recorded where the run counts it. */
export async function booted(world: World, vm: Vm, since = 0): Promise<Vm> {
  try {
    return await isUp(world, vm, since);
  } catch (error) {
    await appendFile(bootRetriesFile(world.lab.dir), `${JSON.stringify({ vm: vm.name, at: new Date().toISOString() })}\n`);
    process.stderr.write(`${vm.name} did not boot within ${BOOT_WITHIN_MS} ms and is started again: ${String(error)}\n`);
    await world.rest.carryOut(powerOffVm, { vmId: vm.id });
    const { length } = await consoleOf(world, vm);
    await world.rest.carryOut(startVm, { vmId: vm.id });
    return isUp(world, await vmOf(world, vm.id), length);
  }
}

async function isUp(world: World, vm: Vm, since: number): Promise<Vm> {
  const mark = `DHCP eth0 ${addressOf(vm)}`;
  await eventually(`${vm.name} writes "${mark}"`, async () => (await consoleOf(world, vm)).slice(since).includes(mark), { withinMs: BOOT_WITHIN_MS, everyMs: 200 });
  return vm;
}

export async function answersPing(world: World, vm: Vm): Promise<void> {
  await eventually(`${addressOf(vm)} (${vm.name}) answers a ping from the uplink`, () => pingFromUplink(world.lab, addressOf(vm), { withinMs: 2_000 }), { withinMs: 20_000 });
}

/** The test's own VMs, ended or not. */
export async function ownVms({ rest, prefix }: World): Promise<Vm[]> {
  const all: Vm[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await rest.ask(listVms, { limit: 500, ...(cursor === undefined ? {} : { cursor }) });
    all.push(...page.items.filter((vm) => vm.name.startsWith(prefix)));
    if (page.next === null) return all;
    cursor = page.next;
  }
}

/** Waits, in a pool that is seconds old, until the scheduler has heard of the cluster's overcommitment and `vcpus` are unclaimed. */
export async function roomFor(world: World, vcpus: number): Promise<void> {
  await eventually(`the hosts have ${vcpus} vCPUs unclaimed`, async () => {
    const { items } = await world.rest.ask(listCapacity, { limit: 500 });
    return items.reduce((free, host) => free + host.vcpus - host.vcpusClaimed, 0) >= vcpus;
  });
}

/** Deletes the test's VMs, whatever state a failed test left them in. */
export async function removeOwnVms(world: World): Promise<void> {
  await Promise.all((await ownVms(world)).map(async (vm) => {
    if (vm.taskId !== null) await world.rest.ended({ taskId: vm.taskId, objectId: vm.id });
    await world.rest.carryOut(deleteVm, { vmId: vm.id, force: true, purge: true }).catch(unlessGone); // a failed creation leaves none
  }));
  const recycled = (await world.rest.ask(listVms, { limit: 500, recycled: true, q: world.prefix })).items.filter((vm) => vm.name.startsWith(world.prefix));
  await Promise.all(recycled.map((vm) => world.rest.carryOut(purgeVm, { vmId: vm.id })));
}

/** Deletes the test's VMs, and then its templates and images. */
export async function removeOwn(world: World): Promise<void> {
  const { rest, prefix } = world;
  await removeOwnVms(world);
  const own = <T extends { name: string }>({ items }: { items: T[] }): T[] => items.filter((item) => item.name.startsWith(prefix));
  for (const { id } of own(await rest.ask(listTemplates, { limit: 500 }))) await rest.ask(deleteTemplate, { templateId: id });
  for (const { id } of own(await rest.ask(listImages, { limit: 500 }))) await rest.carryOut(deleteImage, { imageId: id }).catch(unlessGone);
}

/** For a removal: what is not there any more is removed. */
export function unlessGone(error: unknown): void {
  if (!(error instanceof Refusal && error.status === 404)) throw error;
}

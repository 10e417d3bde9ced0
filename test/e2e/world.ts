// The lab as a test meets it: the pool's REST interface with the administrator signed in, what the pool was furnished
// with, and the machine that it runs on.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { listHosts } from '#contracts';
import type { Host, Vm } from '#contracts';
import { openLab, readRecord, testLabDir } from './lab.mjs';
import type { Lab, LabHost, LabRecord } from './lab.mjs';
import { Rest } from './rest.ts';

export interface World {
  readonly lab: Lab;
  readonly record: LabRecord;
  readonly rest: Rest;
  /** Names of this test's objects begin with it. */
  readonly prefix: string;
}

/** Every test of a pool waits for machines; those that wait for guests say how much longer. */
jest.setTimeout(60_000);

export const MiB = 1024 * 1024;

export async function openWorld(prefix: string): Promise<World> {
  const lab = await openLab(testLabDir());
  const record = readRecord(lab);
  const rest = await Rest.signIn(record.gateway.url, record.admin.user, record.admin.password);
  return { lab, record, rest, prefix: `${prefix}-${randomBytes(2).toString('hex')}` };
}

/** The lab's host on which a VM is, or was last. */
export function hostOf({ record }: World, vm: Vm): LabHost {
  const host = record.hosts.find(({ id }) => id === vm.status.hostId);
  if (host === undefined) throw new Error(`${vm.name} is on no host: ${JSON.stringify(vm.status)}`);
  return host;
}

export const vmDirectory = (world: World, vm: Vm): string => join(hostOf(world, vm).stateDir, 'vms', vm.id);

/** The hosts as the pool sees them, by name. */
export async function hostsByName({ rest }: World): Promise<Map<string, Host>> {
  return new Map((await rest.ask(listHosts, {})).items.map((host) => [host.name, host]));
}

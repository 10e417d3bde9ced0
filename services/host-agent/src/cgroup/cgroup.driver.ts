// One group per VM, below one group of the platform, in cgroup v1 or v2, whichever of them has the processor's controller.
// Without either VMs run unlimited, and the host says why.
import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostVmSpec } from '#contracts';
import { sleep } from '#kernel';
import type { CgroupDriver } from '../drivers.ts';
import { processorMhz } from '../processor.proc.ts';
import { cgroupMounts, settingsV1, settingsV2 } from './limits.ts';
import type { Setting } from './limits.ts';

export interface CgroupOptions {
  /** TOK_CGROUP_NAME */
  readonly name: string;
  /** Clock of one processor, for limits in MHz; the default is what the system says. */
  readonly hostMhz?: number;
  readonly onProblem?: (reason: string) => void;
}
export interface HostCgroups extends CgroupDriver {
  /** Which version, or why there is none. */
  readonly reason: string;
}

type Controller = 'cpu' | 'memory';
interface Hierarchy { readonly path: string; settings(spec: HostVmSpec, hostMhz: number): Setting[] }
const controllers: readonly Controller[] = ['cpu', 'memory'];
const codeOf = (error: unknown): string => (typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '');

export async function createCgroupDriver({ name, hostMhz = processorMhz(), onProblem }: CgroupOptions): Promise<HostCgroups> {
  const found = await findHierarchies(name);

  const apply = async (directory: string, settings: readonly Setting[]): Promise<void> => {
    for (const [file, text] of settings) {
      // A kernel without bandwidth control, say, lacks a file: the VM runs all the same, and the host says so.
      await writeFile(join(directory, file), text).catch((error: unknown) => onProblem?.(`${join(directory, file)}: ${codeOf(error)}`));
    }
  };

  return {
    version: found.version,
    reason: found.reason,
    prepare: async (vmId, spec) => {
      const entered: string[] = [];
      for (const hierarchy of found.hierarchies) {
        const directory = join(hierarchy.path, vmId);
        await mkdir(directory, { recursive: true });
        await apply(directory, hierarchy.settings(spec, hostMhz));
        entered.push(join(directory, 'cgroup.procs'));
      }
      return entered;
    },
    release: async (vmId) => {
      for (const { path } of found.hierarchies) await removeGroup(join(path, vmId));
    },
  };
}

async function findHierarchies(name: string): Promise<{ version: CgroupDriver['version']; reason: string; hierarchies: Hierarchy[] }> {
  const mounts = cgroupMounts(await readFile('/proc/self/mounts', 'utf8'));
  try {
    const offered = mounts.v2 === null ? [] : (await readFile(join(mounts.v2, 'cgroup.controllers'), 'utf8')).trim().split(' ');
    const usable = controllers.filter((controller) => offered.includes(controller));
    if (mounts.v2 !== null && usable.includes('cpu')) {
      const path = join(mounts.v2, name);
      await mkdir(path, { recursive: true });
      // Controllers are handed down level by level.
      for (const directory of [mounts.v2, path]) await writeFile(join(directory, 'cgroup.subtree_control'), usable.map((one) => `+${one}`).join(' '));
      return { version: 'v2', reason: `cgroup v2 with ${usable.join(', ')}`, hierarchies: [{ path, settings: (spec, mhz) => usable.flatMap((one) => settingsV2[one](spec, mhz)) }] };
    }
    const hierarchies = controllers.flatMap((controller): Hierarchy[] => {
      const mount = mounts.v1[controller];
      return mount === undefined ? [] : [{ path: join(mount, name), settings: settingsV1[controller] }];
    });
    if (mounts.v1.cpu === undefined) return { version: 'none', reason: 'no cgroup file system with the cpu controller is mounted', hierarchies: [] };
    for (const { path } of hierarchies) await mkdir(path, { recursive: true });
    return { version: 'v1', reason: `cgroup v1 with ${Object.keys(mounts.v1).join(', ')}`, hierarchies };
  } catch (error) {
    return { version: 'none', reason: `cgroups cannot be written (${codeOf(error) || 'unknown reason'})`, hierarchies: [] };
  }
}

/** A group is busy until the kernel has buried its last process; that takes milliseconds after QEMU's end. */
async function removeGroup(directory: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      await removeTree(directory);
      return;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      if (codeOf(error) !== 'EBUSY' || attempt >= 40) throw error;
      await sleep(25);
    }
  }
}

async function removeTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  }
  await rmdir(directory);
}

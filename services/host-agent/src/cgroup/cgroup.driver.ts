// One group per VM, below one group of the platform, in cgroup v1 or v2, whichever of them has the processor's controller.
// Without either VMs run unlimited, and the host says why. How VMs weigh against each other follows from all of them
// together, so every change looks at all, and writes what is not so yet.
import { mkdir, readFile, readdir, rmdir, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { HostVmSpec } from '#contracts';
import { HostCommandFailed } from '#contracts';
import { ok, sleep } from '#kernel';
import type { CgroupDriver } from '../drivers.ts';
import { processorMhz } from '../processor.proc.ts';
import { oneAtATime } from '../switch/turns.ts';
import { cgroupMounts, kernelWeights, says, settingsV1, settingsV2, weightRanges, weightsOf } from './limits.ts';
import type { Placed, Setting, Settings } from './limits.ts';

export interface CgroupOptions {
  /** TOK_CGROUP_NAME */
  readonly name: string;
  /** Clock of one processor, for limits in MHz; the default is what the system says. */
  readonly hostMhz?: number;
  readonly processors?: number;
  /** Where the kernel lists what is mounted; another file in tests. */
  readonly mountsFile?: string;
  readonly onProblem?: (reason: string) => void;
}
export interface HostCgroups extends CgroupDriver {
  /** Which version, or why there is none. */
  readonly reason: string;
}

type Controller = 'cpu' | 'memory';
interface Hierarchy extends Settings { readonly path: string }
/** A settings file of the kernel and what it shall say. */
interface Wanted { readonly directory: string; readonly setting: Setting }
interface Found { readonly version: CgroupDriver['version']; readonly reason: string; readonly hierarchies: readonly Hierarchy[] }

const controllers: readonly Controller[] = ['cpu', 'memory'];
const codeOf = (error: unknown): string => (typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '');

export async function createCgroupDriver({ name, hostMhz = processorMhz(), processors = cpus().length, mountsFile = '/proc/self/mounts', onProblem }: CgroupOptions): Promise<HostCgroups> {
  const { version, reason, hierarchies } = await findHierarchies(name, mountsFile);
  const inTurn = oneAtATime();
  const groups = new Map<string, HostVmSpec>();
  const told = new Set<string>();

  const wanted = (): Wanted[] => {
    if (version === 'none') return [];
    const specs = [...groups.values()];
    const weights = kernelWeights(weightsOf(specs.map(({ cpuService }) => cpuService), hostMhz * processors), weightRanges[version]);
    return hierarchies.flatMap(({ path, own, all }) => [
      ...all(specs).map((setting) => ({ directory: path, setting })),
      ...specs.flatMap((spec, index) => own({ spec, weight: weights[index]!, hostMhz }).map((setting) => ({ directory: join(path, spec.vmId), setting }))),
    ]);
  };

  /** What the kernel did not take, as words by directory. */
  const settle = async (): Promise<Map<string, string>> => {
    const problems = new Map<string, string>();
    for (const { directory, setting: [file, text] } of wanted()) {
      const path = join(directory, file);
      const found = await readFile(path, 'utf8').catch(() => '');
      if (says(found, text)) continue;
      await writeFile(path, text).catch((error: unknown) => {
        const problem = `${path}: ${codeOf(error)}`;
        problems.set(directory, problem);
        // A kernel without bandwidth control, say, lacks a file: the VM runs all the same, and the host says so, once.
        if (!told.has(problem)) onProblem?.(problem);
        told.add(problem);
      });
    }
    return problems;
  };

  return {
    version,
    reason,
    prepare: (vmId, spec) => inTurn(async () => {
      for (const { path } of hierarchies) await mkdir(join(path, vmId), { recursive: true });
      groups.set(vmId, spec);
      await settle();
      return hierarchies.map(({ path }) => join(path, vmId, 'cgroup.procs'));
    }),
    adjust: (vmId, spec) => inTurn(async () => {
      const before = groups.get(vmId);
      groups.set(vmId, spec);
      const problems = await settle();
      const mine = hierarchies.flatMap(({ path }) => problems.get(join(path, vmId)) ?? []);
      if (mine.length === 0) return ok(undefined);
      if (before) groups.set(vmId, before);
      await settle();
      return HostCommandFailed.fail(`The kernel did not take the VM’s limits: ${mine.join('; ')}.`, { reason: mine.join('; ') });
    }),
    restore: (running) => inTurn(async () => {
      groups.clear();
      for (const spec of running) groups.set(spec.vmId, spec);
      await settle();
    }),
    hold: () => inTurn(async () => { await settle(); }),
    release: async (vmId) => {
      await inTurn(async () => {
        groups.delete(vmId);
        await settle();
      });
      // Out of turn: no start waits for another VM's end.
      for (const { path } of hierarchies) await removeGroup(join(path, vmId));
    },
  };
}

async function findHierarchies(name: string, mountsFile: string): Promise<Found> {
  const mounts = cgroupMounts(await readFile(mountsFile, 'utf8'));
  try {
    const offered = mounts.v2 === null ? [] : (await readFile(join(mounts.v2, 'cgroup.controllers'), 'utf8')).trim().split(' ');
    const usable = controllers.filter((controller) => offered.includes(controller));
    if (mounts.v2 !== null && usable.includes('cpu')) {
      const path = join(mounts.v2, name);
      await mkdir(path, { recursive: true });
      // Controllers are handed down level by level.
      for (const directory of [mounts.v2, path]) await writeFile(join(directory, 'cgroup.subtree_control'), usable.map((one) => `+${one}`).join(' '));
      const own = (placed: Placed): Setting[] => usable.flatMap((one) => settingsV2[one].own(placed));
      const all = (specs: readonly HostVmSpec[]): Setting[] => usable.flatMap((one) => settingsV2[one].all(specs));
      return { version: 'v2', reason: `cgroup v2 with ${usable.join(', ')}`, hierarchies: [{ path, own, all }] };
    }
    const hierarchies = controllers.flatMap((controller): Hierarchy[] => {
      const mount = mounts.v1[controller];
      return mount === undefined ? [] : [{ path: join(mount, name), ...settingsV1[controller] }];
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

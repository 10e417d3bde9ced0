// The recycle bin's decisions: which disks stay, and what a VM is called when it comes back.
import { InvalidArgument, WrongState, type Vm, type VmSpec } from '#contracts';
import { ok, type Result } from '#kernel';

export interface KeptDisk { readonly volumeId: string; readonly name: string }

const cut = (text: string, length: number): string => Array.from(text).slice(0, length).join('').replace(/[ ._-]+$/, '');

/** The disks that a request keeps, named after the VM as it is called now. */
export function keptDisks(vm: { readonly name: string; readonly spec: Pick<VmSpec, 'disks'> }, keep: string | undefined): Result<KeptDisk[]> {
  const ids = keep === undefined ? [] : keep === 'all' ? vm.spec.disks.map((disk) => disk.diskId as string) : [...new Set(keep.split(','))];
  const strange = ids.find((id) => !vm.spec.disks.some((disk) => disk.diskId === id));
  if (strange !== undefined) return InvalidArgument.fail('keepDisks: the VM has no such disk.', { issues: [{ path: 'keepDisks', message: `the VM has no disk ${strange}` }] });
  return ok(vm.spec.disks.filter((disk) => ids.includes(disk.diskId)).map(({ volumeId, slot }) => ({ volumeId, name: `${cut(vm.name, 25)} disk ${slot}` })));
}

/** The names to try, best first; the last one is the VM's alone. */
export const namesToRestore = ({ name, number, id }: Pick<Vm, 'name' | 'number' | 'id'>): string[] =>
  ['', '-restored', `-restored-${number}`, `-${id}`].map((suffix) => `${cut(name, 63 - suffix.length)}${suffix}`);

/** Whether the VM is where the operation expects it. */
export function refuseBin(vm: Pick<Vm, 'recycled'>, where: 'out' | 'in'): Result<undefined> {
  if ((vm.recycled !== null) === (where === 'in')) return ok(undefined);
  return where === 'in' ? WrongState.fail('The VM is not in the recycle bin.', { state: 'not-recycled', allowed: ['recycled'] })
    : WrongState.fail('The VM is in the recycle bin: restore it first.', { state: 'recycled', allowed: ['restored'] });
}

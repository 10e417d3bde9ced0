// What the plan of a dry run says about a VM: the words for what a command has decided. Pure.
import type { Vm, VmSpec } from '#contracts';
import { canonicalJson, sizeText } from '#kernel';
import type { KeptDisk } from './vm-bin.ts';

export interface Word { readonly text: string; readonly details: Readonly<Record<string, unknown>> }
type Hardware = Pick<Vm, 'spec' | 'pending'>;

/** Everything of a spec that a change may ask for, in the order in which it is told. */
const fields = ['cpu', 'cpuService', 'memoryBytes', 'memoryService', 'firmware', 'bootOrder', 'clock', 'ha'] as const satisfies readonly (keyof VmSpec)[];
const differ = (a: unknown, b: unknown): boolean => canonicalJson(a ?? null) !== canonicalJson(b ?? null);

/** Which parts of a change are in force at once, and which wait for the next start. */
export function wordsOfChange(was: Hardware, next: Hardware): Word[] {
  const waiting: Readonly<Record<string, unknown>> = next.pending ?? {};
  const words = fields.flatMap((field): Word[] => {
    const waits = waiting[field];
    if (waits !== undefined) return [{ text: `${field}: ${shown(was.spec[field])} stays until the next start, then ${shown(waits)}`, details: { field, takesEffect: 'next-start', from: was.spec[field], to: waits } }];
    if (!differ(was.spec[field], next.spec[field])) return [];
    return [{ text: `${field}: ${shown(next.spec[field])} takes effect at once; it was ${shown(was.spec[field])}`, details: { field, takesEffect: 'at-once', from: was.spec[field], to: next.spec[field] } }];
  });
  return words.length > 0 ? words : [{ text: 'nothing changes: it is so already', details: {} }];
}

const shown = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? String(value) : JSON.stringify(value));

/** What goes with a VM and what stays, when it is deleted for good or, with `hold`, put into the recycle bin. */
export function wordsOfEnd(vm: Vm, keep: readonly KeptDisk[], hold: { readonly ms: number } | null): Word[] {
  const disks = vm.spec.disks.map(({ slot, volumeId, sizeBytes }): Word => {
    const kept = keep.find((one) => one.volumeId === volumeId);
    const fate = kept !== undefined ? `stays as the free volume "${kept.name}"` : hold === null ? 'is deleted' : 'stays with the VM in the recycle bin';
    return { text: `disk ${slot} (${sizeText(sizeBytes)}) ${fate}`, details: { volumeId, goes: kept === undefined && hold === null } };
  });
  const memory: Word[] = vm.status.saved === null ? [] : [{ text: `its saved memory ${hold === null ? 'is deleted' : 'stays with it'}`, details: { volumeId: vm.status.saved.volumeId, goes: hold === null } }];
  const nics = vm.spec.nics.map(({ mac, ip }): Word => ({ text: `${[mac, ip].filter(Boolean).join(' and ')} ${hold === null ? 'are given back' : 'stay its own'}`, details: { mac, ip, goes: hold === null } }));
  const end = hold === null ? { text: `the VM "${vm.name}" is gone for good`, details: { goes: true } }
    : { text: `the VM "${vm.name}" goes into the recycle bin and is deleted for good after ${Math.round(hold.ms / 3_600_000)} h; its name is free at once`, details: { goes: false, holdMs: hold.ms } };
  return [end, ...disks, ...memory, ...nics];
}

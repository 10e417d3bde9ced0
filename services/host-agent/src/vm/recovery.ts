// After a crash between a command's intent and its result: did its effect happen? One line per command that a VM takes.
import type { HostVmSpec } from '#contracts';
import { HostVmChange } from '#contracts';
import { canonicalJson } from '#kernel';
import { z } from 'zod';
import { isApplied } from './adjust.ts';
import type { Exit, Finding, OpenCommand, VmCommandName } from './vm.ts';

export interface Evidence {
  readonly finding: Finding;
  /** Ids of the devices that QEMU has; empty where none runs. */
  readonly devices: readonly string[];
  /** Why the process was about to end, where that had been decided. */
  readonly ending: Exit | null;
  /** What the VM's directory holds. */
  readonly document: { readonly epoch: number; readonly spec: HostVmSpec } | null;
}

const runs = ({ finding }: Evidence): boolean => finding.kind === 'running' || finding.kind === 'paused';
const isGone = ({ finding }: Evidence): boolean => finding.kind === 'none';
const Adjustment = z.object({ change: HostVmChange });
const Intent = z.object({ epoch: z.number(), spec: z.unknown().optional() });

export const effectHappened: Readonly<Record<VmCommandName, (evidence: Evidence, input: unknown) => boolean>> = {
  'vm.define': ({ document }, input) => {
    const intent = Intent.safeParse(input);
    return intent.success && document !== null && document.epoch === intent.data.epoch && canonicalJson(document.spec) === canonicalJson(intent.data.spec);
  },
  'vm.start': runs,
  'vm.stop': isGone,
  'vm.power-off': isGone,
  'vm.pause': ({ finding }) => finding.kind === 'paused',
  // One that is gone may have gone on before: only a refusal may say that it has not.
  'vm.resume': ({ finding }) => finding.kind === 'running' || finding.kind === 'none',
  // Nothing shows that a guest has begun anew; a second reset of one that has just begun costs it nothing.
  'vm.reset': () => false,
  'vm.save': (evidence) => isGone(evidence) && evidence.ending === 'saved',
  // A deleted VM has no directory, so its intent would not be read; where it is read, the deletion is not complete.
  'vm.delete': () => false,
  'vm.adjust': (evidence, input) => {
    const intent = Adjustment.safeParse(input);
    return runs(evidence) && intent.success && evidence.document !== null && isApplied(evidence.document.spec, intent.data.change, evidence.devices);
  },
};

/** Which of the open commands are done, and which have to be sent again. Nothing is known while a process is silent. */
export function settle(open: readonly OpenCommand[], evidence: Evidence, inputOf: (commandId: string) => unknown): { done: string[]; dropped: string[] } {
  if (evidence.finding.kind === 'silent') return { done: [], dropped: [] };
  const happened = ({ commandId, name }: OpenCommand): boolean => effectHappened[name](evidence, inputOf(commandId));
  return {
    done: open.filter(happened).map(({ commandId }) => commandId),
    dropped: open.filter((command) => !happened(command)).map(({ commandId }) => commandId),
  };
}

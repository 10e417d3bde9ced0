// Which changes of a VM's hardware a running VM takes at once and which wait for its next start, as one table, and what a
// change makes of spec and pending. Pure.
import type { InputOf, Vm, VmPending, VmSpec, modifyVm } from '#contracts';
import { type FieldIssue, InvalidArgument, leastMemory } from '#contracts';
import { canonicalJson, ok, type Result } from '#kernel';
import type { z } from 'zod';
import { tpmIssues } from './vm.ts';

export type Change = Omit<InputOf<typeof modifyVm>, 'vmId' | 'version' | 'forgetTpmKeys'>;
type Field = keyof Change;

/** `cold` = at the next start; `hot` = at once; `host` = at once, when the host has taken it. */
type When = 'cold' | 'hot' | 'host';
export const whenOf: Readonly<Record<Field, When>> = {
  cpu: 'cold',
  memoryBytes: 'cold',
  firmware: 'cold',
  tpm: 'cold',
  bootOrder: 'cold',
  clock: 'cold',
  // The kernel weighs anew at once, and the balloon follows.
  cpuService: 'host',
  memoryService: 'host',
  // Nobody but the platform needs it.
  ha: 'hot',
};

/** What the next start takes: the spec with what waits for it. */
export const effectiveSpec = ({ spec, pending }: Pick<Vm, 'spec' | 'pending'>): VmSpec => ({ ...spec, ...given(pending ?? {}) });

type Next = Pick<Vm, 'spec' | 'pending'>;

/** Spec and pending after a change, or what is wrong with it. On a VM that is stopped nothing waits. */
export function changed(vm: Next, change: Change, running: boolean): Result<Next> {
  const wanted = merged(effectiveSpec(vm), change);
  const refusal = refuseSpec(wanted);
  if (refusal) return refusal;
  if (!running) return ok({ spec: wanted, pending: null });
  const spec = { ...vm.spec, ...only(wanted, (field) => whenOf[field] !== 'cold') };
  const waiting = only(wanted, (field) => whenOf[field] === 'cold' && canonicalJson(wanted[field]) !== canonicalJson(spec[field]));
  return ok({ spec, pending: Object.keys(waiting).length === 0 ? null : (waiting as VmPending) });
}

/** What is wrong with reservations, limits and TPM, field by field; null = nothing. */
export function refuseSpec(spec: Pick<VmSpec, 'cpuService' | 'memoryService' | 'memoryBytes' | 'tpm' | 'firmware'>): Result<never> | null {
  const issues = issuesOf(spec);
  return issues[0] ? InvalidArgument.fail(`${issues[0].path}: ${issues[0].message}.`, { issues }) : null;
}

const fields = Object.keys(whenOf) as Field[];
const only = (spec: VmSpec, wants: (field: Field) => boolean): Partial<VmSpec> => Object.fromEntries(fields.filter(wants).map((field) => [field, spec[field]]));

function merged(spec: VmSpec, { cpuService, memoryService, ha, ...whole }: Change): VmSpec {
  const { cpu, memoryBytes, firmware, tpm, bootOrder, clock } = whole;
  return { ...spec, ...given({ cpu, memoryBytes, firmware, tpm, bootOrder, clock }), cpuService: { ...spec.cpuService, ...given(cpuService) }, memoryService: { ...spec.memoryService, ...given(memoryService) }, ha: { ...spec.ha, ...given(ha) } };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
const given = <T extends object>(some: T | undefined): Defined<T> => Object.fromEntries(Object.entries(some ?? {}).filter(([, value]) => value !== undefined)) as Defined<T>;

type Issue = z.infer<typeof FieldIssue>;
function issuesOf({ cpuService, memoryService, memoryBytes, tpm, firmware }: Pick<VmSpec, 'cpuService' | 'memoryService' | 'memoryBytes' | 'tpm' | 'firmware'>): Issue[] {
  const above = (path: string, reservation: number, limit: number | null): Issue[] => (limit !== null && reservation > limit ? [{ path, message: 'not above the limit' }] : []);
  return [
    ...above('cpuService.reservation', cpuService.reservation, cpuService.limit),
    ...above('memoryService.reservation', memoryService.reservation, memoryService.limit),
    ...(memoryService.reservation > memoryBytes ? [{ path: 'memoryService.reservation', message: 'not above the memory' }] : []),
    ...(memoryService.limit !== null && memoryService.limit < leastMemory(memoryBytes) ? [{ path: 'memoryService.limit', message: `not below ${leastMemory(memoryBytes)}, the least that a guest of this memory is left with` }] : []),
    ...tpmIssues({ tpm, firmware }),
  ];
}

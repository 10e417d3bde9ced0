// Notes what the proofs of the kinds come to, for the table of faults (docs/faults.md): one line for each proof of a trial, in
// the file that the run names; nowhere without one.
import { appendFileSync } from 'node:fs';
import { pointOfNoReturn } from '../kind.ts';
import type { TaskKind } from '../kind.ts';

/** What happens to a step. The page has a column for each. */
export const faults = [
  'cancelled, no worker', 'cancelled, no slot', 'cancelled, host silent', 'cancelled, service silent', 'cancelled on its way back',
  'worker killed', 'worker killed in the undo', 'worker thawed', 'worker thawed in the undo', 'step fails', 'step twice', 'undo twice', 'agent killed', 'stuck, retried', 'cancelled'] as const;
export type Fault = (typeof faults)[number];

export interface ProofNote {
  readonly kind: TaskKind;
  readonly fault: Fault;
  /** The steps that it met, once for each time. */
  readonly cells: readonly string[];
  readonly state: 'passed' | 'failed';
}

export function noteProof({ kind, fault, cells, state }: ProofNote): void {
  const file = process.env['TOK_TEST_PROOFS'];
  if (file === undefined) return;
  const noReturn = pointOfNoReturn(kind);
  const steps = kind.steps.map(({ name, undo }, at) => ({ name, undo: undo !== undefined && at < noReturn, noReturn: at >= noReturn }));
  appendFileSync(file, `${JSON.stringify({ kind: kind.kind, steps, fault, cells, state })}\n`);
}

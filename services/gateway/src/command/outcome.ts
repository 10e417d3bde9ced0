// How a published command ended, as its user hears of it, and as the audit log does where nobody behind this door has said it:
// events in the transaction that records the end.
import { isDenial, isRecorded } from '#bus';
import type { EntityManager } from 'typeorm';
import { commandAccepted, commandRefused } from '#contracts';
import type { BusCommandId, ErrorBody } from '#contracts';
import { auditDenial, emit, wireFault } from '#tasks';
import { effectOf } from './published.ts';
import type { Effect } from './published.ts';
import type { Carried } from './user-commands.client.ts';

export interface About { readonly id: BusCommandId; readonly operation: string; readonly idempotencyKey: string | null }

export type Outcome = { readonly is: 'accepted'; readonly effect: Effect } | { readonly is: 'refused'; readonly error: ErrorBody };

export const outcomeOf = ({ answer, traceId }: Carried): Outcome =>
  (answer.ok ? { is: 'accepted', effect: effectOf(answer.value) } : { is: 'refused', error: wireFault(answer.fault, traceId) });

export async function tell(tx: EntityManager, { id, operation, idempotencyKey }: About, outcome: Outcome, { handle, caller, traceId, answer }: Carried & { readonly handle: string }): Promise<void> {
  const about = { commandId: id, operation, idempotencyKey };
  const from = { objectId: id, actor: caller?.actor ?? null, traceId };
  if (outcome.is === 'accepted') await emit(tx, commandAccepted, { ...from, data: { ...about, ...outcome.effect } });
  else await emit(tx, commandRefused, { ...from, data: { ...about, error: outcome.error } });
  if (answer.ok || !isDenial(answer.fault) || isRecorded(answer.fault)) return;
  // Without a key of its own: the record of the end, in this transaction, is what makes it one.
  await auditDenial(tx, 'gateway', {
    operation, fault: answer.fault, caller: { actor: caller?.actor ?? null, caller: null }, input: undefined, door: 'command', traceId, idempotencyKey: null,
    ...(caller === undefined ? { claimed: handle } : {}),
  });
}

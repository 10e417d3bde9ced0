// Says into the outbox what was done or denied; auth takes it from there into the chain. What was done is said in the
// transaction that does it, so neither can be without the other.
import type { EntityManager } from 'typeorm';
import type { BusContext, Denied } from '#bus';
import type { AuditFacts, Operation, ServiceName } from '#contracts';
import { auditedObject, auditRecorded, operationByName } from '#contracts';
import { idFrom } from '#kernel';
import { emit } from '../outbox.store.ts';

export interface Mutation {
  readonly ctx: Pick<BusContext, 'actor'> & Partial<Pick<BusContext, 'caller' | 'door' | 'traceId'>>;
  readonly operation: Operation;
  readonly input: unknown;
  readonly reply: unknown;
  /** Where input and reply do not say it. */
  readonly object?: AuditFacts['object'];
  readonly address?: string | undefined;
  /** Of the record, where the same deed may be told again. */
  readonly id?: string | undefined;
}

const nothing = { claimed: null, service: null, address: null, code: null, taskId: null, traceId: null, times: 1, since: null } as const;
const actorOf = (actor: BusContext['actor']): AuditFacts['actor'] => (actor === null ? null : { userId: actor.userId, handle: actor.handle });

/** Written by the owner of the operation, in the transaction of its effect. */
export async function auditMutation(tx: EntityManager, { ctx, operation, input, reply, object, address, id }: Mutation): Promise<void> {
  const taskId = operation.task ? (reply as { taskId: string }).taskId : null;
  await emitFacts(tx, operation.service, {
    ...nothing, operation: operation.name, door: ctx.door ?? 'service', actor: actorOf(ctx.actor), service: ctx.caller ?? null, address: address?.slice(0, 64) ?? null,
    object: object ?? auditedObject(operation, input, reply), outcome: operation.task ? 'started' : 'done', taskId, traceId: ctx.traceId ?? null,
  }, id);
}

/** What is known of a denial beyond what the bus says. */
export interface Denial extends Denied {
  readonly claimed?: string;
  readonly address?: string;
}

export function denialFacts({ operation: name, fault, caller, input, door, traceId, claimed, address }: Denial): AuditFacts {
  const operation = operationByName.get(name);
  const [, noun = ''] = name.split('.');
  return {
    ...nothing, operation: name.slice(0, 255), door, actor: actorOf(caller.actor), claimed: claimed?.slice(0, 64) ?? null, service: caller.caller, address: address?.slice(0, 64) ?? null,
    object: operation === undefined ? { noun, id: null } : auditedObject(operation, input), outcome: 'denied', code: fault.code, traceId,
  };
}

/**
 * A published command may be delivered, and denied, again after a crash. Its record then has the same id, and the chain takes
 * it once. Who sends a request again himself is denied again.
 */
export const denialId = ({ door, operation, idempotencyKey, caller, fault }: Denial): string | undefined =>
  (door === 'command' && idempotencyKey !== null ? idFrom(['denial', caller.actor?.userId ?? '', operation, idempotencyKey, fault.code].join('\n')) : undefined);

/** Of a deed that is recorded apart from its effect: repeated under its key, it is told again, and is one record. */
export const deedId = (operation: Operation, ctx: Pick<BusContext, 'actor' | 'caller' | 'idempotencyKey'>): string | undefined =>
  (ctx.idempotencyKey === null ? undefined : idFrom(['deed', ctx.actor?.userId ?? `service:${ctx.caller ?? ''}`, operation.name, ctx.idempotencyKey].join('\n')));

export async function auditDenial(tx: EntityManager, service: ServiceName, denial: Denial): Promise<void> {
  await emitFacts(tx, service, denialFacts(denial), denialId(denial));
}

export async function emitFacts(tx: EntityManager, service: ServiceName, facts: AuditFacts, id?: string): Promise<void> {
  const objectId = facts.object.id !== null && /^[A-Za-z0-9-]+$/.test(facts.object.id) ? facts.object.id : 'none';
  await emit(tx, auditRecorded(service), { objectId, data: facts, actor: facts.actor, traceId: facts.traceId, taskId: facts.taskId, ...(id === undefined ? {} : { id }) });
}

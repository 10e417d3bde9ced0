// A mutation that happens once however often it is sent: key, operation, hash of the body and reply are stored in the
// transaction of the effect. Refusals are not stored: nothing happened, so the key is free again.
import type { DataSource, EntityManager } from 'typeorm';
import type { BusContext, PlanDraft } from '#bus';
import type { InputOf, Operation, ReplyOf } from '#contracts';
import { IdempotencyKeyReused } from '#contracts';
import { auditMutation } from './audit/audit.store.ts';
import { execute, executeLater, fromJson, inPortions, isDuplicate, selectRow, toJson, transaction } from '#database';
import type { Queryable } from '#database';
import { bodyHash, FaultError, failed, ok } from '#kernel';
import type { Result } from '#kernel';

export interface CommandCall<O extends Operation> {
  readonly ctx: Pick<BusContext, 'actor' | 'system' | 'caller' | 'idempotencyKey' | 'dryRun'> & Partial<Pick<BusContext, 'door' | 'traceId'>>;
  readonly operation: O;
  readonly input: InputOf<O>;
}

/** Purged after this; at least 48 hours are promised. */
const KEEP_HOURS = 72;
const PURGED_AT_ONCE = 1_000;

/**
 * Runs `work` in one transaction and answers its reply, or the recorded reply when the same caller sent the same key and
 * body before. Another body: IDEMPOTENCY_KEY_REUSED. A fault, thrown or answered, rolls everything back. What was done is said
 * for the audit log in the same transaction, once. In a dry run everything is rolled back whatever comes of it, and no key is
 * taken.
 */
export async function runCommand<O extends Operation>(
  db: DataSource, call: CommandCall<O>, work: (tx: EntityManager) => Promise<ReplyOf<O> | Result<ReplyOf<O>>>,
): Promise<Result<ReplyOf<O>>> {
  try {
    const { dryRun } = call.ctx;
    return ok(await (dryRun === undefined ? transaction(db, (tx) => once(tx, call, () => unwrapped(work(tx)))) : rehearsed(db, dryRun, (tx) => unwrapped(work(tx)))));
  } catch (error) {
    if (error instanceof FaultError) return failed(error.fault);
    throw error;
  }
}

/** Carries the reply of a dry run past the transaction that it rolls back. */
class RolledBack<T> extends Error {
  constructor(readonly reply: T) {
    super('a dry run ends');
  }
}

async function rehearsed<T>(db: DataSource, draft: PlanDraft, work: (tx: EntityManager) => Promise<T>): Promise<T> {
  const again = draft.mark();
  try {
    return await transaction(db, async (tx) => {
      again();
      const reply = await work(tx);
      // While the rows are there: the steps of a task look at what the command has just made.
      await draft.foresee();
      throw new RolledBack(reply);
    });
  } catch (error) {
    if (!(error instanceof RolledBack)) throw error;
    draft.rolledBack = true;
    return (error as RolledBack<T>).reply;
  }
}

async function once<O extends Operation>(tx: EntityManager, call: CommandCall<O>, work: () => Promise<ReplyOf<O>>): Promise<ReplyOf<O>> {
  const key = call.ctx.idempotencyKey;
  if (key === null) return audited(tx, call, work);
  const actor = call.ctx.actor?.userId ?? `service:${call.ctx.caller ?? ''}`;
  const hash = bodyHash(call.input);
  if (!(await reserve(tx, [actor, key, call.operation.name, hash]))) return recorded(tx, actor, key, call.operation, hash);
  const reply = await audited(tx, call, work);
  await executeLater(tx, 'UPDATE task_command SET reply = ? WHERE actor = ? AND idem_key = ?', [toJson(reply), actor, key]);
  return reply;
}

async function audited<O extends Operation>(tx: EntityManager, call: CommandCall<O>, work: () => Promise<ReplyOf<O>>): Promise<ReplyOf<O>> {
  const reply = await work();
  await auditMutation(tx, { ...call, reply });
  return reply;
}

/** False when the key is taken. While another transaction is about to take it, this waits for that one's end. */
async function reserve(tx: Queryable, row: readonly string[]): Promise<boolean> {
  try {
    await execute(tx, 'INSERT INTO task_command (actor, idem_key, operation, body_hash, created_at) VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3))', row);
    return true;
  } catch (error) {
    if (isDuplicate(error)) return false;
    throw error;
  }
}

async function recorded<O extends Operation>(tx: Queryable, actor: string, key: string, operation: O, hash: string): Promise<ReplyOf<O>> {
  const row = await selectRow<{ operation: string; body_hash: string; reply: unknown }>(tx,
    'SELECT operation, body_hash, reply FROM task_command WHERE actor = ? AND idem_key = ? FOR UPDATE', [actor, key]);
  if (row === undefined) throw new Error('a recorded command vanished while it was read');
  if (row.operation !== operation.name || row.body_hash !== hash) {
    throw new FaultError(IdempotencyKeyReused.fault(`The key was used for another ${row.operation === operation.name ? 'body' : 'operation'} before.`));
  }
  return fromJson<ReplyOf<O>>(row.reply);
}

async function unwrapped<T>(work: Promise<T | Result<T>>): Promise<T> {
  const answer = await work;
  if (!isResult(answer)) return answer;
  if (!answer.ok) throw new FaultError(answer.fault);
  return answer.value;
}

const isResult = <T>(answer: T | Result<T>): answer is Result<T> =>
  typeof answer === 'object' && answer !== null && 'ok' in answer && ('value' in answer || 'fault' in answer);

export const purgeCommands = (db: Queryable, signal?: AbortSignal): Promise<number> => inPortions(PURGED_AT_ONCE, (most) =>
  execute(db, `DELETE FROM task_command WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL ${KEEP_HOURS} HOUR ORDER BY created_at LIMIT ?`, [most]), signal);

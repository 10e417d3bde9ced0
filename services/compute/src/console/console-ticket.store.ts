// Rows of console tickets. A ticket is spent by one UPDATE, so of two who show it one comes too late; all times are the
// database's.
import { createHash, randomBytes } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { ConsoleKind, Holder, UserId, VmId } from '#contracts';
import { execute, selectRow, type Queryable } from '#database';

export interface NewTicket {
  readonly id: string;
  readonly vmId: string;
  readonly kind: ConsoleKind;
  readonly epoch: number;
  readonly historyBytes: number;
  readonly userId: string;
  readonly holder: Holder;
  readonly lifeMs: number;
}

export interface Ticket {
  readonly vmId: VmId;
  readonly kind: ConsoleKind;
  readonly epoch: number;
  readonly historyBytes: number;
  readonly userId: UserId;
  readonly holder: Holder;
}

export type Spent = { readonly kind: 'spent'; readonly ticket: Ticket } | { readonly kind: 'unknown' | 'used' | 'ended' };

interface TicketRow {
  vm_id: string; kind: ConsoleKind; epoch: number | string; history_bytes: number; user_id: string; holder_kind: Holder['kind']; holder_id: string; in_time: number;
}

const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');

export async function insertTicket(tx: EntityManager, { id, vmId, kind, epoch, historyBytes, userId, holder, lifeMs }: NewTicket): Promise<void> {
  await execute(tx, `INSERT INTO console_ticket (id, vm_id, kind, epoch, history_bytes, user_id, holder_kind, holder_id, expires_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND)`, [id, vmId, kind, epoch, historyBytes, userId, holder.kind, holder.id, lifeMs * 1000]);
}

/** A new secret for a ticket that is still good; one that was given out before opens nothing any more. Undefined = it is spent or over. */
export async function renewSecret(db: Queryable, id: string): Promise<string | undefined> {
  const secret = randomBytes(32).toString('base64url');
  const met = await execute(db, 'UPDATE console_ticket SET hash = ? WHERE id = ? AND used_at IS NULL AND expires_at > UTC_TIMESTAMP(3)', [hashOf(secret), id]);
  return met === 1 ? secret : undefined;
}

/** Spends the ticket, whatever comes of it: one that was shown at the wrong door is worth nothing either. */
export async function spendTicket(db: Queryable, secret: string): Promise<Spent> {
  const hash = hashOf(secret);
  const met = await execute(db, 'UPDATE console_ticket SET used_at = UTC_TIMESTAMP(3) WHERE hash = ? AND used_at IS NULL', [hash]);
  const row = await selectRow<TicketRow>(db, 'SELECT vm_id, kind, epoch, history_bytes, user_id, holder_kind, holder_id, expires_at > used_at AS in_time FROM console_ticket WHERE hash = ?', [hash]);
  if (row === undefined) return { kind: 'unknown' };
  if (met === 0) return { kind: 'used' };
  if (row.in_time !== 1) return { kind: 'ended' };
  const { vm_id: vmId, kind, epoch, history_bytes: historyBytes, user_id: userId, holder_kind: holderKind, holder_id: holderId } = row;
  return { kind: 'spent', ticket: { vmId: vmId as VmId, kind, epoch: Number(epoch), historyBytes, userId: userId as UserId, holder: { kind: holderKind, id: holderId } } };
}

/** Kept for an hour, so that a ticket shown too late is told from one that never was. */
export const purgeTickets = (db: Queryable): Promise<number> => execute(db, 'DELETE FROM console_ticket WHERE expires_at < UTC_TIMESTAMP(3) - INTERVAL 1 HOUR LIMIT 1000');

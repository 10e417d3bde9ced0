// Counts sign-ins before they are checked, so that a thousand at once are no more than a thousand in a row; a good one
// takes its count back. A process that dies in between leaves one failure too many, never one too few.
import { createHash } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { LockedOut } from '#contracts';
import { execute, selectRow, transaction } from '#database';
import type { Queryable } from '#database';
import { ok } from '#kernel';
import type { Result } from '#kernel';
import { forgetAfterMs, policies, waitMs } from './lock-out.ts';
import type { Scope } from './lock-out.ts';

/** Who tries and from where. */
export interface Try {
  readonly account: string;
  readonly address: string | undefined;
}

interface FailureRow {
  failures: number;
  remaining: number | string | null;
  old: number;
}

/** Hashed: people type passwords into the wrong field. */
const subjectOf = (scope: Scope, text: string): string => createHash('sha256').update(`${scope}:${text}`).digest('hex');

const countedIn = ({ account, address }: Try): { scope: Scope; subject: string }[] => [
  { scope: 'account', subject: subjectOf('account', account) },
  ...(address === undefined ? [] : [{ scope: 'address' as const, subject: subjectOf('address', address) }]),
];

/** Takes the try into account, or refuses it with LOCKED_OUT. A refused one does not make the lock longer. */
export const countTry = (db: DataSource, attempt: Try): Promise<Result<undefined>> => transaction(db, async (tx) => {
  const rows: { scope: Scope; subject: string; failures: number }[] = [];
  let longest = 0;
  for (const { scope, subject } of countedIn(attempt)) {
    await execute(tx, 'INSERT INTO sign_in_failure (scope, subject, last_at) VALUES (?, ?, UTC_TIMESTAMP(3)) ON DUPLICATE KEY UPDATE subject = subject', [scope, subject]);
    const row = await selectRow<FailureRow>(tx,
      `SELECT failures, TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3), locked_until) AS remaining, last_at < UTC_TIMESTAMP(3) - INTERVAL ${forgetAfterMs / 1000} SECOND AS old
       FROM sign_in_failure WHERE scope = ? AND subject = ? FOR UPDATE`, [scope, subject]);
    longest = Math.max(longest, Math.ceil(Number(row?.remaining ?? 0) / 1000));
    rows.push({ scope, subject, failures: Number(row?.old) === 1 ? 0 : (row?.failures ?? 0) });
  }
  if (longest > 0) return LockedOut.fail('Too many failed sign-ins; wait before the next one.', { retryAfterMs: longest });
  for (const { scope, subject, failures } of rows) await note(tx, scope, subject, failures + 1);
  return ok(undefined);
});

const note = (tx: Queryable, scope: Scope, subject: string, failures: number): Promise<number> =>
  execute(tx, 'UPDATE sign_in_failure SET failures = ?, last_at = UTC_TIMESTAMP(3), locked_until = IF(? > 0, UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND, NULL) WHERE scope = ? AND subject = ?',
    [failures, waitMs(policies[scope], failures), waitMs(policies[scope], failures) * 1000, scope, subject]);

/** The try was good: the account starts anew; the address only takes this one back, or one good account would excuse all others. */
export const takeBackTry = (db: DataSource, attempt: Try): Promise<void> => transaction(db, async (tx) => {
  for (const { scope, subject } of countedIn(attempt)) {
    if (scope === 'account') await execute(tx, 'DELETE FROM sign_in_failure WHERE scope = ? AND subject = ?', [scope, subject]);
    else await execute(tx, 'UPDATE sign_in_failure SET failures = GREATEST(failures - 1, 0), locked_until = IF(failures < ?, NULL, locked_until) WHERE scope = ? AND subject = ?', [policies[scope].free, scope, subject]);
  }
});

export const purgeTries = (db: Queryable): Promise<number> =>
  execute(db, `DELETE FROM sign_in_failure WHERE last_at < UTC_TIMESTAMP(3) - INTERVAL ${forgetAfterMs / 1000} SECOND AND (locked_until IS NULL OR locked_until < UTC_TIMESTAMP(3)) LIMIT 1000`);

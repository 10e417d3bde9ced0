// One transaction, run again when the server broke it off for the sake of another (deadlock, lock wait). Work that must
// not happen before the commit is noted inside and runs after it.
import { sleep } from '#kernel';
import type { DataSource, EntityManager } from 'typeorm';

/** Deadlock, lock wait timeout, and MariaDB's "record has changed since last read": rolled back, safe to run again. */
const brokenOff = new Set([1213, 1205, 1020]);
const MOST_TRIES = 10;

interface Noted {
  readonly before: (() => Promise<void>)[];
  readonly after: (() => void)[];
}

const notes = new WeakMap<EntityManager, Noted>();

/**
 * Runs `work` in a READ COMMITTED transaction. It may run several times: no effect outside of the database belongs in it.
 * An error rolls back and goes on to the caller.
 */
export async function transaction<T>(source: DataSource, work: (tx: EntityManager) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    const noted: Noted = { before: [], after: [] };
    try {
      const value = await source.transaction(async (tx) => {
        notes.set(tx, noted);
        const answer = await work(tx);
        for (const action of noted.before) await action();
        return answer;
      });
      for (const action of noted.after) action();
      return value;
    } catch (error) {
      if (!isBrokenOff(error) || tries >= MOST_TRIES) throw error;
      await sleep(Math.random() * Math.min(5 * 2 ** tries, 500));
    }
  }
}

/** Runs `action` at the end of the transaction of `tx`, as part of it; never when it rolls back. */
export function beforeCommit(tx: EntityManager, action: () => Promise<void>): void {
  noteOf(tx).before.push(action);
}

/** Runs `action` once the transaction of `tx` has committed; never when it rolls back. It must not throw. */
export function afterCommit(tx: EntityManager, action: () => void): void {
  noteOf(tx).after.push(action);
}

function noteOf(tx: EntityManager): Noted {
  const noted = notes.get(tx);
  if (noted === undefined) throw new Error('before and after a commit need a transaction that transaction() began');
  return noted;
}

const numberOf = (error: unknown): number => {
  const { errno, driverError } = error as { errno?: number; driverError?: { errno?: number } };
  return driverError?.errno ?? errno ?? 0;
};

export const isBrokenOff = (error: unknown): boolean => brokenOff.has(numberOf(error));

/** The statement met a row that already has this unique key. The transaction goes on. */
export const isDuplicate = (error: unknown): boolean => numberOf(error) === 1062;

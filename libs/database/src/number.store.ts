// Small numbers of objects, for people.
import type { EntityManager } from 'typeorm';
import { selectRow } from './rows.store.ts';
import { executeLater } from './transaction.store.ts';

/** The next small number of a noun: unique for ever, rising; the sequence's row stays locked until the transaction ends. */
export async function nextNumber(tx: EntityManager, noun: string): Promise<number> {
  await executeLater(tx, 'INSERT INTO number_sequence (noun, last_number) VALUES (?, LAST_INSERT_ID(1)) ON DUPLICATE KEY UPDATE last_number = LAST_INSERT_ID(last_number + 1)', [noun]);
  const row = await selectRow<{ number: number | string }>(tx, 'SELECT LAST_INSERT_ID() AS number');
  return Number(row?.number);
}

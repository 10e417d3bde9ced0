// Tickets for consoles. The secret stands here only as its hash; `hash` is NULL until the first answer is given out.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;

export const computeConsoleMigrations = [
  defineMigration('compute.0019-console-tickets', [
    `CREATE TABLE console_ticket (
      id ${id} NOT NULL PRIMARY KEY, hash char(64) CHARACTER SET ascii COLLATE ascii_bin NULL UNIQUE, vm_id ${id} NOT NULL, kind ${word(10)} NOT NULL, epoch bigint NOT NULL, history_bytes int unsigned NOT NULL,
      user_id ${id} NOT NULL, holder_kind ${word(10)} NOT NULL, holder_id ${id} NOT NULL, expires_at datetime(3) NOT NULL, used_at datetime(3) NULL,
      KEY ticket_expiry (expires_at)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
  ]),
];

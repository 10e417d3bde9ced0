// Published commands whose outcome is known, so that one that is delivered again has no second outcome; and those refused.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;

export const gatewayMigrations = [
  defineMigration('gateway.0001-dead-letters', [
    `CREATE TABLE bus_command (id ${id} NOT NULL PRIMARY KEY, ended_at datetime(3) NOT NULL, KEY bus_command_end (ended_at)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
    `CREATE TABLE dead_letter (
      id ${id} NOT NULL PRIMARY KEY, user_id ${id} NULL, handle ${word(32)} NOT NULL, operation varchar(255) NOT NULL, idem_key ${word(128)} NULL, dry_run varchar(20) NOT NULL, body mediumtext NOT NULL, error json NOT NULL,
      published_at datetime(3) NOT NULL, refused_at datetime(3) NOT NULL, tries int unsigned NOT NULL DEFAULT 1,
      KEY dead_letter_user (user_id, refused_at), KEY dead_letter_time (refused_at), KEY dead_letter_published (published_at)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
  ]),
];

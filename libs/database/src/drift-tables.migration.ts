// The table of findings: the same in the schema of every service that compares its rows with the world.
import { defineMigration } from './migration.ts';
import type { Migration } from './migration.ts';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const at = 'datetime(3)';

export const driftMigrations: readonly Migration[] = [
  defineMigration('drift.0023-findings', [
    // The id is made from kind, scope and object: what comes back is the same finding again. begun_at = a repair may have happened.
    `CREATE TABLE drift_finding (
      id ${id} NOT NULL PRIMARY KEY, kind ${word(40)} NOT NULL, scope varchar(255) NOT NULL, state ${word(20)} NOT NULL,
      object_id varchar(255) NOT NULL, object_name varchar(255) NULL, host_id ${id} NULL, text varchar(1000) NOT NULL, reason varchar(1000) NULL,
      evidence json NOT NULL, evidence_hash ${word(64)} NOT NULL, kept tinyint NOT NULL DEFAULT 0, looks int NOT NULL DEFAULT 2, repairs int NOT NULL DEFAULT 0,
      begun_at ${at} NULL, repaired_at ${at} NULL, first_seen_at ${at} NOT NULL, last_seen_at ${at} NOT NULL, state_since ${at} NOT NULL, expires_at ${at} NULL, version int NOT NULL DEFAULT 1,
      KEY drift_scope (scope, state), KEY drift_state (state, state_since)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
  ]),
];

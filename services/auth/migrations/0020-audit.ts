// The audit log: a chain of records whose newest and whose last pruned link are kept beside it. The columns before the record
// are for searching; the record is what counts.
import { defineMigration } from '#database';

const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const hash = 'char(64) CHARACTER SET ascii COLLATE ascii_bin';
const at = 'datetime(3)';

export const authAudit = defineMigration('auth.0020-audit', [
  `CREATE TABLE audit_log (
    seq bigint NOT NULL PRIMARY KEY, id ${word(36)} NOT NULL UNIQUE, at ${at} NOT NULL, chained_at ${at} NOT NULL, operation varchar(255) NOT NULL, door ${word(20)} NOT NULL,
    actor_id ${word(36)} NULL, actor_handle ${word(32)} NULL, object_id varchar(128) NULL, outcome ${word(20)} NOT NULL, trace_id varchar(64) NULL,
    record mediumtext NOT NULL, hash ${hash} NOT NULL, seal ${word(64)} NOT NULL,
    KEY audit_actor (actor_id, seq), KEY audit_handle (actor_handle, seq), KEY audit_object (object_id, seq), KEY audit_operation (operation, seq),
    KEY audit_outcome (outcome, seq), KEY audit_trace (trace_id), KEY audit_time (at)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
  `CREATE TABLE audit_link (name ${word(10)} NOT NULL PRIMARY KEY, seq bigint NOT NULL, hash ${hash} NOT NULL, seal ${word(64)} NOT NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
  `INSERT INTO audit_link (name, seq, hash, seal) VALUES ('base', 0, REPEAT('0', 64), ''), ('head', 0, REPEAT('0', 64), '')`,
]);

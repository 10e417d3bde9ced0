// The tables of monitoring: one ordered log of all events, and the tasks of all services as their owners last told.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const options = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4';

export const monitoringMigrations = [
  defineMigration('monitoring.0001-tables', [
    // One row: its lock makes global numbers become visible in their order, so that "after N" never misses a lower one.
    `CREATE TABLE event_sequence (singleton tinyint NOT NULL PRIMARY KEY, last_seq bigint NOT NULL) ${options}`,
    `INSERT INTO event_sequence (singleton, last_seq) VALUES (1, 0)`,
    `CREATE TABLE event_log (
      global_seq bigint NOT NULL PRIMARY KEY, event_id ${id} NOT NULL UNIQUE, source ${word(40)} NOT NULL, name ${word(80)} NOT NULL, object_id ${word(64)} NOT NULL,
      actor_id ${id} NULL, owner_id ${id} NULL, at datetime(3) NOT NULL, event json NOT NULL,
      KEY log_object (object_id, global_seq), KEY log_name (name, global_seq), KEY log_at (at)) ${options}`,
    `CREATE TABLE task_view (
      id ${id} NOT NULL PRIMARY KEY, service ${word(40)} NOT NULL, kind ${word(80)} NOT NULL, object_id ${word(64)} NOT NULL, state ${word(20)} NOT NULL, is_open tinyint NOT NULL, is_top tinyint NOT NULL,
      actor_id ${id} NULL, owner_id ${id} NULL, version int NOT NULL, created_at datetime(3) NOT NULL, task json NOT NULL,
      KEY view_created (created_at, id), KEY view_open (is_open, created_at), KEY view_object (object_id, created_at), KEY view_owner (owner_id, created_at)) ${options}`,
  ]),
];

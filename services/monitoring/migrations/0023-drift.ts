// The findings of all services as their owners last told.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;

export const monitoringDriftMigrations = [
  defineMigration('monitoring.0023-drift', [
    `CREATE TABLE drift_view (
      id ${id} NOT NULL PRIMARY KEY, service ${word(40)} NOT NULL, kind ${word(40)} NOT NULL, state ${word(20)} NOT NULL, host_id ${id} NULL, object_id varchar(255) NOT NULL, object_name varchar(255) NULL,
      first_seen_at datetime(3) NOT NULL, state_since datetime(3) NOT NULL, version int NOT NULL, finding json NOT NULL,
      KEY drift_first (first_seen_at, id), KEY drift_by_state (state, id), KEY drift_by_kind (kind, id), KEY drift_by_host (host_id, first_seen_at, id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
  ]),
];

// The tables of ha: which hosts it watches and whether they respond.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';

export const haMigrations = [
  defineMigration('ha.0001-tables', [
    `CREATE TABLE liveness (
      host_id ${id} NOT NULL PRIMARY KEY, cluster_id ${id} NOT NULL, state varchar(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      since datetime(3) NOT NULL, last_heartbeat_at datetime(3) NULL) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
  ]),
];

// Folders. parent_id is '' at the top: a NULL would escape the unique key.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';

export const computeFolderMigrations = [
  defineMigration('compute.0008-folders', [
    `CREATE TABLE folder (
      id ${id} NOT NULL PRIMARY KEY, parent_id ${id} NOT NULL DEFAULT '', name varchar(63) NOT NULL, description varchar(1000) NOT NULL,
      number int unsigned NOT NULL UNIQUE, version int unsigned NOT NULL DEFAULT 1, created_at datetime(3) NOT NULL, updated_at datetime(3) NOT NULL,
      UNIQUE KEY folder_name (parent_id, name), KEY folder_by_name (name, id), KEY folder_created (created_at, id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
  ]),
];

// A copy of compute's folders, so that a grant on one reaches those below it. It can be emptied and is rebuilt.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';

export const authFolders = defineMigration('auth.0007-folders', [
  `CREATE TABLE folder_view (folder_id ${id} NOT NULL PRIMARY KEY, parent_id ${id} NOT NULL, version int unsigned NOT NULL, KEY folder_below (parent_id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
]);

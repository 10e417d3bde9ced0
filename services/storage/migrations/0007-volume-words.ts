// What users write on a volume, and the indexes of its lists.
import { defineMigration } from '#database';

export const storageWordMigrations = [
  defineMigration('storage.0007-volume-words', [
    "ALTER TABLE volume ADD COLUMN description varchar(1000) NOT NULL DEFAULT '', ADD COLUMN labels json NOT NULL DEFAULT ('{}')",
    'ALTER TABLE volume ADD KEY volume_by_name (name, id), ADD KEY volume_by_size (size_bytes, id), ADD KEY volume_by_state (state, id), ADD KEY volume_by_folder (folder_id)',
  ]),
];

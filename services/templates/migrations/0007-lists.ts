// The indexes of the lists of images and templates.
import { defineMigration } from '#database';

export const templatesListMigrations = [
  defineMigration('templates.0007-lists', [
    'ALTER TABLE image ADD KEY image_by_state (state, id), ADD KEY image_by_folder (folder_id)',
    'ALTER TABLE template ADD KEY template_by_folder (folder_id)',
  ]),
];

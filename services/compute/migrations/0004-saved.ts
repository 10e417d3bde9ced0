// Where the memory of a hibernated VM lies, and what it was saved from.
import { defineMigration } from '#database';

export const computeSavedMigrations = [defineMigration('compute.0004-saved', ['ALTER TABLE vm ADD COLUMN saved json NULL'])];

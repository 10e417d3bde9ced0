// What the balloon of a VM that runs shows, as its host has told.
import { defineMigration } from '#database';

export const computeGuestMemoryMigrations = [
  defineMigration('compute.0010-guest-memory', ['ALTER TABLE vm ADD COLUMN guest_memory json NULL']),
];

// What a running VM could not take waits beside its spec until its next start.
import { defineMigration } from '#database';

export const computePendingMigrations = [
  defineMigration('compute.0005-pending', ['ALTER TABLE vm ADD COLUMN pending json NULL']),
];

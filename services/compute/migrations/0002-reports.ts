// What tells old news from new: the boots that a host has left behind, and why its host says that a VM ended.
import { defineMigration } from '#database';

export const computeReportMigrations = [
  defineMigration('compute.0002-reports', [
    'ALTER TABLE host ADD COLUMN past_boots json NULL',
    'ALTER TABLE vm ADD COLUMN host_reason varchar(1000) NULL',
  ]),
];

// What is reserved for VMs beside what they claim: never more than the host has, whatever the cluster's ratios. Hosts that
// the view holds already get what they have from its next rebuild; until then nothing can be reserved on them.
import { defineMigration } from '#database';

export const schedulerReservationMigrations = [
  defineMigration('scheduler.0010-reservations', [
    'ALTER TABLE claim ADD COLUMN cpu_reserved int NOT NULL DEFAULT 0, ADD COLUMN memory_reserved bigint NOT NULL DEFAULT 0',
    `ALTER TABLE host_view ADD COLUMN cpu_mhz int NOT NULL DEFAULT 0, ADD COLUMN memory_physical bigint NOT NULL DEFAULT 0,
      ADD COLUMN cpu_reserved int NOT NULL DEFAULT 0, ADD COLUMN memory_reserved bigint NOT NULL DEFAULT 0`,
  ]),
];

// The tables of scheduler: a copy of hosts and clusters that can be rebuilt, and the claims, which are its own truth.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const options = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4';

export const schedulerMigrations = [
  defineMigration('scheduler.0001-tables', [
    `CREATE TABLE cluster_view (cluster_id ${id} NOT NULL PRIMARY KEY, cpu_overcommit double NOT NULL, memory_overcommit double NOT NULL) ${options}`,
    // The claimed columns are the sum of the host's claims, kept in the claim's own transaction: one row to check and lock.
    `CREATE TABLE host_view (
      host_id ${id} NOT NULL PRIMARY KEY, cluster_id ${id} NOT NULL, name varchar(63) NOT NULL, connected tinyint NOT NULL, maintenance tinyint NOT NULL, state_text varchar(40) NOT NULL, version int NOT NULL,
      logical_cpus int NOT NULL, memory_bytes bigint NOT NULL, vcpus_capacity int NOT NULL, memory_capacity bigint NOT NULL,
      vcpus_claimed int NOT NULL DEFAULT 0, memory_claimed bigint NOT NULL DEFAULT 0, KEY view_cluster (cluster_id)) ${options}`,
    `CREATE TABLE claim (
      id ${id} NOT NULL PRIMARY KEY, vm_id ${id} NOT NULL UNIQUE, host_id ${id} NOT NULL, vcpus int NOT NULL, memory_bytes bigint NOT NULL, created_at datetime(3) NOT NULL,
      KEY claim_host (host_id), KEY claim_created (created_at)) ${options}`,
  ]),
];

// The tables of compute: site, clusters, hosts, VMs, the uids VMs run under and the addresses they are found by.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const stamps = `number int unsigned NOT NULL UNIQUE, version int unsigned NOT NULL DEFAULT 1, created_at datetime(3) NOT NULL, updated_at datetime(3) NOT NULL`;
const options = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4';

export const computeMigrations = [
  defineMigration('compute.0001-tables', [
    `CREATE TABLE site (id ${id} NOT NULL PRIMARY KEY, name varchar(63) NOT NULL, singleton tinyint NOT NULL DEFAULT 1 UNIQUE, ${stamps}) ${options}`,
    `CREATE TABLE cluster (
      id ${id} NOT NULL PRIMARY KEY, site_id ${id} NOT NULL, name varchar(63) NOT NULL UNIQUE, description varchar(1000) NOT NULL,
      cpu_overcommit double NOT NULL, memory_overcommit double NOT NULL, ${stamps}) ${options}`,
    `CREATE TABLE host (
      id ${id} NOT NULL PRIMARY KEY, cluster_id ${id} NOT NULL, name varchar(63) NOT NULL UNIQUE,
      state ${word(20)} NOT NULL, state_since datetime(3) NOT NULL, reason varchar(500) NULL, maintenance tinyint NOT NULL DEFAULT 0,
      inventory json NULL, unmanaged json NULL,
      boot_id ${word(100)} NULL, report_epoch bigint NOT NULL DEFAULT 0, report_seq bigint NOT NULL DEFAULT 0, ${stamps},
      KEY host_cluster (cluster_id), CONSTRAINT host_in_cluster FOREIGN KEY (cluster_id) REFERENCES cluster (id)) ${options}`,
    // live_name is NULL for tombstones, so that a name is free again when its VM is gone.
    `CREATE TABLE vm (
      id ${id} NOT NULL PRIMARY KEY, name varchar(63) NOT NULL, live_name varchar(63) NULL UNIQUE, description varchar(1000) NOT NULL, labels json NOT NULL,
      cluster_id ${id} NOT NULL, template_id ${id} NULL, owner_id ${id} NULL, folder_id ${id} NULL, uid int unsigned NOT NULL, spec json NOT NULL,
      state ${word(20)} NOT NULL, observed_at datetime(3) NULL, host_state ${word(20)} NULL,
      seen_boot ${word(100)} NULL, seen_epoch bigint NOT NULL DEFAULT 0, seen_seq bigint NOT NULL DEFAULT 0,
      epoch bigint NOT NULL DEFAULT 0, host_id ${id} NULL, pid int NULL, started_at datetime(3) NULL, reason varchar(1000) NULL,
      guest_agent tinyint NOT NULL DEFAULT 0, addresses json NOT NULL, task_id ${id} NULL, claim_held tinyint NOT NULL DEFAULT 0, deleted_at datetime(3) NULL, ${stamps},
      KEY vm_cluster (cluster_id, deleted_at), KEY vm_host (host_id, deleted_at), KEY vm_owner (owner_id), KEY vm_created (deleted_at, created_at, id), KEY vm_claims (claim_held, state)) ${options}`,
    `CREATE TABLE vm_address (vm_id ${id} NOT NULL, mac ${word(17)} NOT NULL, ip ${word(15)} NULL, PRIMARY KEY (vm_id, mac), KEY address_ip (ip), KEY address_mac (mac)) ${options}`,
    `CREATE TABLE vm_uid (uid int unsigned NOT NULL PRIMARY KEY, vm_id ${id} NULL UNIQUE, freed_at datetime(3) NULL, KEY uid_free (vm_id, freed_at)) ${options}`,
  ]),
];

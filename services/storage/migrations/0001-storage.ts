// The tables of storage: datastores and which hosts see them, volumes, uploads on their way; a copy of compute's hosts.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const stamps = `number int unsigned NOT NULL UNIQUE, version int unsigned NOT NULL DEFAULT 1,
  created_at datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), updated_at datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)`;
const options = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4';

export const storageMigrations = [
  defineMigration('storage.0001-tables', [
    `CREATE TABLE host (
      id ${id} NOT NULL PRIMARY KEY, state ${word(20)} NOT NULL, host_version int unsigned NOT NULL) ${options}`,
    `CREATE TABLE datastore (
      id ${id} NOT NULL PRIMARY KEY, name varchar(63) NOT NULL, description varchar(1000) NOT NULL, scope ${word(10)} NOT NULL, path ${word(400)} NOT NULL,
      total_bytes bigint unsigned NOT NULL, free_bytes bigint unsigned NOT NULL, ${stamps},
      UNIQUE KEY datastore_name (name), KEY datastore_created (created_at, id)) ${options}`,
    // seen = the host's last probe found the datastore's own marker there.
    `CREATE TABLE datastore_host (
      datastore_id ${id} NOT NULL, host_id ${id} NOT NULL, seen tinyint NOT NULL, reason varchar(500) NULL,
      PRIMARY KEY (datastore_id, host_id), KEY datastore_host_host (host_id),
      CONSTRAINT datastore_host_datastore FOREIGN KEY (datastore_id) REFERENCES datastore (id) ON DELETE CASCADE) ${options}`,
    // copied_from is set while a full copy reads that volume, so that nobody deletes it meanwhile.
    `CREATE TABLE volume (
      id ${id} NOT NULL PRIMARY KEY, name varchar(63) NOT NULL, datastore_id ${id} NOT NULL, state ${word(10)} NOT NULL, used_as ${word(10)} NOT NULL, format ${word(10)} NOT NULL,
      size_bytes bigint unsigned NOT NULL, allocated_bytes bigint unsigned NOT NULL, claimed_bytes bigint unsigned NOT NULL, read_only tinyint NOT NULL,
      parent_id ${id} NULL, copied_from ${id} NULL, attached_to ${id} NULL, owner_id ${id} NULL, folder_id ${id} NULL, task_id ${id} NULL, ${stamps},
      KEY volume_datastore (datastore_id, state), KEY volume_parent (parent_id), KEY volume_copied (copied_from), KEY volume_vm (attached_to),
      KEY volume_owner (owner_id), KEY volume_state (state), KEY volume_created (created_at, id),
      CONSTRAINT volume_on_datastore FOREIGN KEY (datastore_id) REFERENCES datastore (id),
      CONSTRAINT volume_over_parent FOREIGN KEY (parent_id) REFERENCES volume (id)) ${options}`,
    `CREATE TABLE upload (
      id ${id} NOT NULL PRIMARY KEY, datastore_id ${id} NOT NULL, host_id ${id} NOT NULL,
      created_at datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), written_at datetime(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
      KEY upload_written (written_at), CONSTRAINT upload_on_datastore FOREIGN KEY (datastore_id) REFERENCES datastore (id)) ${options}`,
  ]),
];

// What lists of tens of thousands of VMs need: an index for each order and filter of the first pages, labels that can be
// searched; and the recycle bin: when a VM went in, when it goes for good, and how long a cluster holds it.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';

export const computeListMigrations = [
  defineMigration('compute.0007-lists', [
    `ALTER TABLE vm ADD COLUMN recycled_at datetime(3) NULL, ADD COLUMN purge_at datetime(3) NULL, ADD COLUMN purge_tried_at datetime(3) NULL, ADD KEY vm_purge (purge_at)`,
    // Stored, so that the server can judge a name by the index alone.
    'ALTER TABLE vm ADD COLUMN gone_at datetime(3) AS (COALESCE(deleted_at, recycled_at)) STORED',
    `ALTER TABLE vm ADD KEY vm_listed (gone_at, created_at, id, name), ADD KEY vm_by_name (gone_at, name, id), ADD KEY vm_by_state (gone_at, state, created_at, id)`,
    `ALTER TABLE vm ADD KEY vm_by_host (host_id, gone_at, created_at, id), ADD KEY vm_by_cluster (cluster_id, gone_at, created_at, id),
      ADD KEY vm_by_folder (folder_id, gone_at, created_at, id), ADD KEY vm_by_owner (owner_id, gone_at, created_at, id), ADD KEY vm_by_template (template_id, gone_at, created_at, id)`,
    // What these were for is the beginning of a key above.
    'ALTER TABLE vm DROP KEY vm_created, DROP KEY vm_cluster, DROP KEY vm_host, DROP KEY vm_owner',
    'ALTER TABLE site ADD COLUMN recycle_hold_ms bigint NOT NULL DEFAULT 604800000',
    'ALTER TABLE cluster ADD COLUMN recycle_hold_ms bigint NULL',
    `CREATE TABLE vm_label (
      vm_id ${id} NOT NULL, name varchar(63) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, value varchar(63) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
      PRIMARY KEY (vm_id, name), KEY label_value (name, value, vm_id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
    `INSERT INTO vm_label (vm_id, name, value) SELECT vm.id, l.name, JSON_UNQUOTE(JSON_EXTRACT(vm.labels, CONCAT('$."', l.name, '"')))
      FROM vm, JSON_TABLE(JSON_KEYS(vm.labels), '$[*]' COLUMNS (name varchar(63) PATH '$')) l WHERE vm.deleted_at IS NULL`,
  ]),
];

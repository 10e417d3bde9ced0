// Where each object is filed and whose it is, as its owner last told: what decides who may see its events, tasks and
// history, also when it is gone. What is in the log already fills it.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;

/** Nouns whose events carry the object under the noun's own name, and what their scopes are read from. */
const filed = ['vm', 'host', 'volume', 'image', 'template', 'port', 'datastore', 'switch', 'subnet'];
const lastOf = (noun: string): string => `JOIN (SELECT MAX(global_seq) AS seq FROM event_log WHERE name LIKE '%.${noun}.%' AND JSON_EXTRACT(event, '$.data.${noun}.id') IS NOT NULL GROUP BY object_id) last ON last.seq = e.global_seq`;
const member = (noun: string, name: string): string => `JSON_VALUE(e.event, '$.data.${noun}.${name}')`;

export const monitoringScopeMigrations = [
  defineMigration('monitoring.0011-scopes', [
    `CREATE TABLE object_scope (
      object_id ${word(64)} NOT NULL PRIMARY KEY, noun ${word(40)} NOT NULL, owner_id ${id} NULL, folder_id ${id} NULL, cluster_id ${id} NULL, gone_at datetime(3) NULL,
      KEY scope_gone (gone_at), KEY scope_folder (folder_id), KEY scope_cluster (cluster_id)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
    ...filed.map((noun) => `INSERT IGNORE INTO object_scope (object_id, noun, owner_id, folder_id, cluster_id)
      SELECT e.object_id, '${noun}', ${member(noun, 'ownerId')}, ${member(noun, 'folderId')}, ${member(noun, 'clusterId')} FROM event_log e ${lastOf(noun)}`),
    `INSERT IGNORE INTO object_scope (object_id, noun, cluster_id) SELECT object_id, 'cluster', MAX(object_id) FROM event_log WHERE name = 'compute.cluster.changed' GROUP BY object_id`,
    `INSERT IGNORE INTO object_scope (object_id, noun, folder_id) SELECT object_id, 'folder', MAX(object_id) FROM event_log WHERE name = 'compute.folder.changed' GROUP BY object_id`,
    `INSERT IGNORE INTO object_scope (object_id, noun) SELECT object_id, 'port-group' FROM event_log WHERE name = 'network.port-group.changed' GROUP BY object_id`,
    `UPDATE object_scope SET gone_at = (SELECT MAX(at) FROM event_log WHERE event_log.object_id = object_scope.object_id AND name LIKE '%.deleted')`,
    `ALTER TABLE event_log ADD COLUMN subject_id ${word(64)} NULL, ADD KEY log_subject (subject_id, global_seq)`,
    `UPDATE event_log SET subject_id = CASE
      WHEN name LIKE '%.task.changed' THEN COALESCE(JSON_VALUE(event, '$.data.task.object.id'), object_id)
      WHEN name = 'network.port.changed' THEN COALESCE(JSON_VALUE(event, '$.data.port.vmId'), object_id) ELSE object_id END WHERE subject_id IS NULL`,
  ]),
];

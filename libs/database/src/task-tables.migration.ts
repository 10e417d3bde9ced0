// The tables behind durable tasks, idempotent commands, the outbox and consumers: the same in every owner's schema.
// Each service lists `tasksMigrations` first.
import { defineMigration } from './migration.ts';
import type { Migration } from './migration.ts';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const at = 'datetime(3)';
const options = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4';

export const tasksMigrations: readonly Migration[] = [
  defineMigration('tasks.0001-tables', [
    `CREATE TABLE task (
      id ${id} NOT NULL PRIMARY KEY,
      kind ${word(80)} NOT NULL,
      object_noun ${word(40)} NOT NULL,
      object_id ${word(64)} NOT NULL,
      object_name varchar(255) NULL,
      state ${word(20)} NOT NULL,
      direction ${word(8)} NOT NULL DEFAULT 'forward',
      actor json NULL,
      owner_id ${id} NULL,
      trace_id ${word(64)} NULL,
      input json NOT NULL,
      output json NULL,
      error json NULL,
      locks json NOT NULL,
      parent_task_id ${id} NULL,
      root_task_id ${id} NOT NULL,
      progress json NULL,
      waits_for json NULL,
      cancel_requested_at ${at} NULL,
      run_epoch int NOT NULL DEFAULT 0,
      claimed_by ${word(100)} NULL,
      claim_until ${at} NULL,
      wake_at ${at} NULL,
      wake_count int NOT NULL DEFAULT 0,
      finish_errors int NOT NULL DEFAULT 0,
      version int NOT NULL DEFAULT 1,
      created_at ${at} NOT NULL,
      started_at ${at} NULL,
      ended_at ${at} NULL,
      KEY task_due (ended_at, wake_at),
      KEY task_created (created_at),
      KEY task_object (object_noun, object_id)) ${options}`,
    `CREATE TABLE task_step (
      task_id ${id} NOT NULL,
      seq int NOT NULL,
      name ${word(80)} NOT NULL,
      state ${word(20)} NOT NULL,
      attempt int NOT NULL DEFAULT 0,
      errors int NOT NULL DEFAULT 0,
      parks int NOT NULL DEFAULT 0,
      retry_since ${at} NULL,
      calls json NULL,
      output json NULL,
      error json NULL,
      started_at ${at} NULL,
      ended_at ${at} NULL,
      PRIMARY KEY (task_id, seq),
      CONSTRAINT task_step_task FOREIGN KEY (task_id) REFERENCES task (id) ON DELETE CASCADE) ${options}`,
    `CREATE TABLE task_lock (
      noun ${word(40)} NOT NULL,
      object_id ${word(64)} NOT NULL,
      root_task_id ${id} NOT NULL,
      task_id ${id} NOT NULL,
      holders int NOT NULL,
      since ${at} NOT NULL,
      PRIMARY KEY (noun, object_id)) ${options}`,
    `CREATE TABLE task_command (
      actor ${word(100)} NOT NULL,
      idem_key ${word(128)} NOT NULL,
      operation ${word(120)} NOT NULL,
      body_hash char(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
      reply json NULL,
      created_at ${at} NOT NULL,
      PRIMARY KEY (actor, idem_key),
      KEY task_command_created (created_at)) ${options}`,
    `CREATE TABLE outbox (
      id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
      event_id ${id} NOT NULL,
      subject ${word(255)} NOT NULL,
      event json NOT NULL,
      seq bigint NULL,
      created_at ${at} NOT NULL,
      sent_at ${at} NULL,
      UNIQUE KEY outbox_seq (seq),
      KEY outbox_sent (sent_at, id)) ${options}`,
    `CREATE TABLE relay_lease (
      name ${word(100)} NOT NULL PRIMARY KEY,
      holder ${word(100)} NULL,
      held_until ${at} NOT NULL,
      lease_epoch int NOT NULL DEFAULT 0,
      last_seq bigint NOT NULL DEFAULT 0) ${options}`,
    `CREATE TABLE consumer_position (
      consumer ${word(100)} NOT NULL,
      source ${word(40)} NOT NULL,
      last_seq bigint NOT NULL,
      PRIMARY KEY (consumer, source)) ${options}`,
    `CREATE TABLE number_sequence (
      noun ${word(40)} NOT NULL PRIMARY KEY,
      last_number bigint NOT NULL) ${options}`,
  ]),
  defineMigration('tasks.0024-slots', [
    // The row's lock keeps those apart who take and give back the slots of one thing.
    `CREATE TABLE task_slot_gate (resource ${word(160)} NOT NULL PRIMARY KEY, most int NOT NULL) ${options}`,
    `CREATE TABLE task_slot (
      resource ${word(160)} NOT NULL,
      task_id ${id} NOT NULL,
      seq int NOT NULL,
      user_id ${word(64)} NOT NULL,
      asked_at ${at} NOT NULL,
      granted_at ${at} NULL,
      PRIMARY KEY (resource, task_id),
      KEY slot_task (task_id),
      CONSTRAINT task_slot_task FOREIGN KEY (task_id) REFERENCES task (id) ON DELETE CASCADE) ${options}`,
  ]),
  // The span that the task began in: its steps hang there, whoever runs them.
  defineMigration('tasks.0025-traceparent', [`ALTER TABLE task ADD COLUMN traceparent ${word(55)} NULL`]),
  // An event is written once and numbered in its place (ADR 48): up to which number all are sent stands with the lease. While this
  // runs an older process may still write events; they get their numbers from the next one.
  defineMigration('tasks.0026-sent-up-to', [
    'ALTER TABLE relay_lease ADD COLUMN sent_seq bigint NOT NULL DEFAULT 0',
    "UPDATE relay_lease SET sent_seq = COALESCE((SELECT MIN(seq) - 1 FROM outbox WHERE sent_at IS NULL AND seq IS NOT NULL), last_seq) WHERE name = 'outbox'",
    'ALTER TABLE outbox DROP KEY outbox_seq, ADD KEY outbox_number (seq)',
    'ALTER TABLE outbox ALTER COLUMN seq SET DEFAULT 0',
    'UPDATE outbox SET seq = 0 WHERE seq IS NULL',
    'ALTER TABLE outbox DROP KEY outbox_sent, DROP COLUMN sent_at, MODIFY COLUMN seq bigint NOT NULL DEFAULT 0',
  ]),
];

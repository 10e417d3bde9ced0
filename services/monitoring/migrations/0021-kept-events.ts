// How much of the log is kept, known without counting: the first number that is there, and the bytes of all.
import { defineMigration } from '#database';

export const monitoringKeptEvents = defineMigration('monitoring.0021-kept-events', [
  'ALTER TABLE event_log ADD COLUMN bytes int unsigned NOT NULL DEFAULT 0',
  'UPDATE event_log SET bytes = LENGTH(event) WHERE bytes = 0',
  'ALTER TABLE event_sequence ADD COLUMN first_seq bigint NOT NULL DEFAULT 1, ADD COLUMN kept_bytes bigint NOT NULL DEFAULT 0',
  'UPDATE event_sequence SET first_seq = COALESCE((SELECT MIN(global_seq) FROM event_log), last_seq + 1), kept_bytes = (SELECT COALESCE(SUM(bytes), 0) FROM event_log)',
]);

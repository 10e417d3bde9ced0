// Webhooks, how far each is, and what they have delivered. Secrets are not here: they are made from the id and a key of the site.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const options = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4';

export const monitoringWebhooks = defineMigration('monitoring.0022-webhooks', [
  `CREATE TABLE webhook (
    id ${id} NOT NULL PRIMARY KEY, number int NOT NULL UNIQUE, owner_id ${id} NOT NULL, name varchar(63) NOT NULL, url varchar(2000) NOT NULL, filter json NOT NULL,
    active tinyint NOT NULL DEFAULT 1, disabled_reason ${word(20)} NULL, position bigint NOT NULL, tries int unsigned NOT NULL DEFAULT 0, failing_since datetime(3) NULL, next_try_at datetime(3) NULL, last_error json NULL,
    secret_version int unsigned NOT NULL DEFAULT 1, rotated_at datetime(3) NULL, version int unsigned NOT NULL DEFAULT 1, created_at datetime(3) NOT NULL, updated_at datetime(3) NOT NULL,
    UNIQUE KEY webhook_name (owner_id, name), KEY webhook_due (active, next_try_at)) ${options}`,
  `CREATE TABLE webhook_delivery (
    id ${id} NOT NULL PRIMARY KEY, webhook_id ${id} NOT NULL, state ${word(20)} NOT NULL, test tinyint NOT NULL DEFAULT 0, after_seq bigint NOT NULL, position bigint NOT NULL, events int unsigned NOT NULL,
    tries int unsigned NOT NULL DEFAULT 0, status int NULL, took_ms int unsigned NULL, error json NULL, created_at datetime(3) NOT NULL, ended_at datetime(3) NULL,
    KEY delivery_webhook (webhook_id, created_at), KEY delivery_state (webhook_id, state), KEY delivery_end (ended_at)) ${options}`,
]);

// The tables of auth. Secrets stand here only as hashes, and private keys only sealed.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const hash = 'char(64) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;
const at = 'datetime(3)';
const options = 'ENGINE=InnoDB DEFAULT CHARSET=utf8mb4';
const objectColumns = `number bigint NOT NULL, version int NOT NULL DEFAULT 1, created_at ${at} NOT NULL, updated_at ${at} NOT NULL`;

export const authTables = defineMigration('auth.0001-tables', [
  // A deleted user stays as a tombstone: the unique key keeps his handle from being used again.
  `CREATE TABLE user_account (
    id ${id} NOT NULL PRIMARY KEY, handle ${word(32)} NOT NULL, display_name varchar(63) NOT NULL, password_hash ${word(200)} NOT NULL,
    must_change_password tinyint NOT NULL, disabled tinyint NOT NULL DEFAULT 0, last_login_at ${at} NULL, deleted_at ${at} NULL, ${objectColumns},
    UNIQUE KEY user_handle (handle), UNIQUE KEY user_number (number)) ${options}`,
  `CREATE TABLE role (
    id ${id} NOT NULL PRIMARY KEY, name varchar(63) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, builtin tinyint NOT NULL DEFAULT 0, permissions json NOT NULL, ${objectColumns},
    UNIQUE KEY role_name (name), UNIQUE KEY role_number (number)) ${options}`,
  // scope_id is '' for the site: a NULL would escape the unique key.
  `CREATE TABLE role_grant (
    id ${id} NOT NULL PRIMARY KEY, user_id ${id} NOT NULL, role_id ${id} NOT NULL, scope ${word(16)} NOT NULL, scope_id ${word(36)} NOT NULL DEFAULT '', created_at ${at} NOT NULL,
    UNIQUE KEY grant_once (user_id, role_id, scope, scope_id), KEY grant_role (role_id)) ${options}`,
  `CREATE TABLE session (
    id ${id} NOT NULL PRIMARY KEY, user_id ${id} NOT NULL, created_at ${at} NOT NULL, expires_at ${at} NOT NULL, ended_at ${at} NULL, end_reason ${word(32)} NULL,
    KEY session_user (user_id, ended_at), KEY session_expiry (expires_at)) ${options}`,
  `CREATE TABLE session_token (
    hash ${hash} NOT NULL PRIMARY KEY, session_id ${id} NOT NULL, created_at ${at} NOT NULL, used_at ${at} NULL, next_hash ${hash} NULL,
    KEY token_session (session_id)) ${options}`,
  `CREATE TABLE api_token (
    id ${id} NOT NULL PRIMARY KEY, user_id ${id} NOT NULL, name varchar(63) NOT NULL, hash ${hash} NOT NULL, created_at ${at} NOT NULL, expires_at ${at} NULL, last_used_at ${at} NULL,
    KEY api_token_user (user_id, created_at)) ${options}`,
  `CREATE TABLE signing_key (
    kid ${word(64)} NOT NULL PRIMARY KEY, number bigint NOT NULL, x ${word(64)} NOT NULL, sealed ${word(500)} NOT NULL, created_at ${at} NOT NULL,
    UNIQUE KEY signing_key_number (number)) ${options}`,
  `CREATE TABLE sign_in_failure (
    scope ${word(16)} NOT NULL, subject ${hash} NOT NULL, failures int NOT NULL DEFAULT 0, last_at ${at} NOT NULL, locked_until ${at} NULL,
    PRIMARY KEY (scope, subject), KEY failure_age (last_at)) ${options}`,
]);

// Keys that users have on the bus. A key that was revoked stays until the last token for it would have ended, so that the
// NATS server can be told of it again.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const at = 'datetime(3)';

export const authBusCredentials = defineMigration('auth.0013-bus-credentials', [
  `CREATE TABLE bus_credential (
    id ${id} NOT NULL PRIMARY KEY, user_id ${id} NOT NULL, name varchar(63) NOT NULL, public_key char(56) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at ${at} NOT NULL, issued_at ${at} NOT NULL, expires_at ${at} NOT NULL, revoked_at ${at} NULL,
    UNIQUE KEY bus_credential_key (public_key), KEY bus_credential_user (user_id, created_at), KEY bus_credential_end (expires_at)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
]);

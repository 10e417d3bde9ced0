// Feeds of bus users: what each wishes for, how far its reader is, and which gateway serves it. Whoever serves it may die; the
// row says where another one goes on.
import { defineMigration } from '#database';

const id = 'char(36) CHARACTER SET ascii COLLATE ascii_bin';
const word = (length: number): string => `varchar(${length}) CHARACTER SET ascii COLLATE ascii_bin`;

export const gatewayEventFeeds = defineMigration('gateway.0003-event-feeds', [
  `CREATE TABLE event_feed (
    id ${id} NOT NULL PRIMARY KEY, user_id ${id} NOT NULL, handle ${word(32)} NOT NULL, filter json NOT NULL, read_position bigint NOT NULL, rewinds int unsigned NOT NULL DEFAULT 0,
    lease_ms int unsigned NOT NULL, created_at datetime(3) NOT NULL, ends_at datetime(3) NOT NULL, holder ${id} NULL, holder_until datetime(3) NULL,
    KEY event_feed_user (user_id, created_at), KEY event_feed_end (ends_at), KEY event_feed_holder (holder, ends_at)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4`,
]);

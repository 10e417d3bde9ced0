// Dead letters are found by the handle that published them, which is there also when no user is, and by their operation.
import { defineMigration } from '#database';

export const gatewayLetterLists = defineMigration('gateway.0004-letter-lists', [
  'ALTER TABLE dead_letter ADD KEY dead_letter_handle (handle, refused_at), ADD KEY dead_letter_operation (operation, refused_at)',
]);

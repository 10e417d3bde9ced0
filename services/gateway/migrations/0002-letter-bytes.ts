// A refused command is kept to the byte, not as text: what was no UTF-8 must not become other text when it is tried again.
import { defineMigration } from '#database';

export const gatewayLetterBytes = defineMigration('gateway.0002-letter-bytes', ['ALTER TABLE dead_letter MODIFY body mediumblob NOT NULL']);

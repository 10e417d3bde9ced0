// What the gateway runs: its settings, tables, doors and periodic work.
import { gatewayConfig } from '#config';
import type { DatabaseService } from '#service';
import { GatewayModule } from './gateway.module.ts';
import { gatewayMigrations } from './migrations/0001-dead-letters.ts';
import { gatewayLetterBytes } from './migrations/0002-letter-bytes.ts';
import { gatewayEventFeeds } from './migrations/0003-event-feeds.ts';
import { gatewayLetterLists } from './migrations/0004-letter-lists.ts';
import { busDoor } from './src/bus/bus.door.ts';
import { commandsDoor } from './src/command/commands.door.ts';
import { purgeEnded } from './src/command/dead-letter.store.ts';
import { feedsDoor } from './src/feed/feeds.door.ts';
import { restDoor } from './src/rest/open.door.ts';

export const gateway: DatabaseService<typeof gatewayConfig> = {
  name: 'gateway',
  config: gatewayConfig,
  module: GatewayModule,
  migrations: [...gatewayMigrations, gatewayLetterBytes, gatewayEventFeeds, gatewayLetterLists],
  doors: (parts) => [restDoor(parts), busDoor(parts), commandsDoor(parts), feedsDoor(parts)],
  reconcilers: ({ db, config }) => [{ name: 'dead-letters', everyMs: 60_000, run: (signal) => purgeEnded(db, config.TOK_KEEP_DEAD_LETTERS_DAYS, signal) }],
};

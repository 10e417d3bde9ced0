// The lab for tests that take longer than a session lasts, which ends after minutes: they go in with a token of the API.
import { createApiToken, revokeApiToken } from '#contracts';
import { Rest } from './rest.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

/** `close` revokes the token. */
export async function openLastingWorld(prefix: string): Promise<{ world: World; close(): Promise<void> }> {
  const world = await openWorld(prefix);
  const { token, secret } = await world.rest.ask(createApiToken, { name: world.prefix, expiresInDays: 2 });
  const rest = new Rest(world.record.gateway.url, secret);
  return { world: { ...world, rest }, close: async () => { await rest.ask(revokeApiToken, { tokenId: token.id }); } };
}

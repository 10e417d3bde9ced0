// Stops the servers that setup.mjs has started, and removes their data.
import { removeServers } from './setup.mjs';

export default async function teardown() {
  if (globalThis.tokTestServers) await removeServers(globalThis.tokTestServers);
}

// Stops the servers that setup.mjs has started, removes their data, and leaves the tun device as it was.
import { cacheDir } from '../../tools/lab.d/layout.mjs';
import { listNamespaces } from '../../tools/lab.d/namespaces.mjs';
import { closeTunDevice } from '../../tools/lab.d/tun-device.mjs';
import { removeServers } from './setup.mjs';

export default async function teardown() {
  if (globalThis.tokTestServers) await removeServers(globalThis.tokTestServers);
  if (process.getuid() === 0) await closeTunDevice({ cache: cacheDir() }, { othersRun: listNamespaces().some((name) => name.startsWith('tok-')) });
}

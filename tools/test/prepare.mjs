// What the tests need from the machine: Debian packages, a NATS server, the npm packages of the lock file, the build.
import { mkdirSync } from 'node:fs';
import { cacheDir, REPO } from '../lab.d/layout.mjs';
import { ensureNats, ensurePackages } from '../lab.d/packages.mjs';
import { ensureTree } from '../lab.d/tree.mjs';
import { testLabDir } from '../../test/e2e/place.mjs';

/** Who is not root cannot make network namespaces; the stages that need them are skipped by name. */
export const isRoot = () => process.getuid() === 0;

export async function prepare(say) {
  await ensurePackages(isRoot() ? ['backends', 'hosts', 'guest', 'tests'] : ['backends'], say);
  await ensureNats(cacheDir(), say);
  const logDir = `${testLabDir()}/log`;
  mkdirSync(logDir, { recursive: true });
  await ensureTree({ repo: REPO, cache: cacheDir(), logDir, say });
}

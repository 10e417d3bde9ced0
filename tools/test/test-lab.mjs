// Ends what the stages have started for themselves: the lab that e2e and faults share, and the integration tests' servers.
import { existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reset } from '../lab.d/down.mjs';
import { openLab } from '../lab.d/lab.mjs';
import { labTag } from '../lab.d/layout.mjs';
import { testLabDir } from '../../test/e2e/place.mjs';
import { removeLeftovers } from '../../test/integration/setup.mjs';

/** Held by a run from its beginning to its end. */
export const runLock = () => join(tmpdir(), `tok-test-${labTag(testLabDir())}.lock`);

/** Nothing of it stays: processes, namespaces, data. */
export async function endTestLab() {
  const dir = testLabDir();
  if (!existsSync(dir)) return;
  await reset(await openLab(dir));
  rmSync(dir, { recursive: true, force: true });
}

/** After a run that was interrupted. */
export async function endServers() {
  await Promise.all([endTestLab(), removeLeftovers()]);
}

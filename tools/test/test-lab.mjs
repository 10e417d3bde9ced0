// Ends the lab that the e2e and fault stages share.
import { existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reset } from '../lab.d/down.mjs';
import { openLab } from '../lab.d/lab.mjs';
import { labTag } from '../lab.d/layout.mjs';
import { testLabDir } from '../../test/e2e/place.mjs';

/** Held by a run from its beginning to its end. */
export const runLock = () => join(tmpdir(), `tok-test-${labTag(testLabDir())}.lock`);

/** Nothing of it stays: processes, namespaces, data. */
export async function endTestLab() {
  const dir = testLabDir();
  if (!existsSync(dir)) return;
  await reset(await openLab(dir));
  rmSync(dir, { recursive: true, force: true });
}

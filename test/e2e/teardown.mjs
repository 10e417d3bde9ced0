// Removes the lab that setup.mjs made, unless it is to be used again.
import { keepsLab, removeLab } from './setup.mjs';

export default async function teardown() {
  if (globalThis.tokTestLab && !keepsLab()) await removeLab(globalThis.tokTestLab);
}

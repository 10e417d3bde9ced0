// One lab as a value: its paths, names, ports, process table and the Node that it runs its parts with. Every other
// module takes this value; tests open the lab that is up with `openLab()`.
import { chmodSync, lstatSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { BACKEND_PORTS } from './backends.mjs';
import { HOST_NAMES, REPO, SERVICES, cacheDir, labDir, labNames, labPaths, labTag, whyDirectoryUnusable } from './layout.mjs';
import { recordedPorts } from './ports.mjs';
import { processTable } from './processes.mjs';
import { nodeBinary } from './tree.mjs';

export const healthPortName = (process) => `health-${process}`;

const PORT_NAMES = [...BACKEND_PORTS, 'http', ...SERVICES.map(healthPortName), ...HOST_NAMES.map(healthPortName)];

/** A lab that had to go elsewhere is still found as `.lab` beside the sources. */
function linkBeside(dir) {
  const beside = join(REPO, '.lab');
  if (dir === beside || dir !== labDir({})) return;
  if (lstatSync(beside, { throwIfNoEntry: false }) === undefined) symlinkSync(dir, beside);
}

/** The lab of `dir`. Makes the directory and chooses ports when they are not there yet, and starts nothing. */
export async function openLab(dir = labDir(), { say = () => {}, env = process.env } = {}) {
  const unusable = whyDirectoryUnusable(dir);
  if (unusable) throw new Error(unusable);
  mkdirSync(dir, { recursive: true });
  linkBeside(dir);
  chmodSync(dir, 0o755); // QEMU's and MariaDB's users pass through; what is secret inside has its own mode
  const paths = labPaths(dir);
  const tag = labTag(dir);
  return {
    dir, paths, tag, names: labNames(tag),
    repo: REPO, cache: cacheDir(env), say,
    ports: await recordedPorts(paths.portsFile, PORT_NAMES, (parseInt(tag, 16) * 31) % 12_000),
    processes: processTable(paths.run, paths.log),
    get node() { return nodeBinary(REPO); },
  };
}

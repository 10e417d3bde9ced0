// Runs one command of a stage with the pinned Node, in a process group of its own that ends with it: at its deadline, or
// when the run is interrupted, nothing of it stays.
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { REPO } from '../lab.d/layout.mjs';
import { nodeBinary } from '../lab.d/tree.mjs';

const groups = new Set();
/** Set by `endAll`: nothing is begun any more, and what ends because of it tells nobody, so that the run goes no further. */
let over = false;
const never = () => new Promise(() => {});

/** Resolves with the exit code (or the signal's name, or 'deadline'). `quietOutput` keeps standard output, which repeats a report as JSON, to itself. */
export function runToEnd([command, ...args], { mostMs, quietOutput = false }) {
  if (over) return never();
  const node = nodeBinary(REPO);
  const env = { ...process.env, PATH: `${dirname(node)}:${join(REPO, 'node_modules/.bin')}:${process.env.PATH}`, FORCE_COLOR: process.stdout.isTTY ? '1' : '0' };
  return new Promise((resolve) => {
    const child = spawn(command === 'node' ? node : command, args, { cwd: REPO, env, detached: true, stdio: ['ignore', quietOutput ? 'ignore' : 'inherit', 'inherit'] });
    let late = false;
    if (child.pid !== undefined) groups.add(child.pid);
    const deadline = setTimeout(() => {
      late = true;
      console.error(`not done after ${mostMs / 60_000} minutes: ended`);
      endGroup(child.pid);
    }, mostMs);
    const done = (outcome) => {
      clearTimeout(deadline);
      groups.delete(child.pid);
      if (!over) resolve(late ? 'deadline' : outcome);
    };
    child.on('error', (error) => { console.error(error.message); done('error'); });
    child.on('close', (code, signal) => { endGroup(child.pid); done(code ?? signal); });
  });
}

function endGroup(pid) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** Ends what runs now, and the run with it. */
export function endAll() {
  over = true;
  for (const pid of groups) endGroup(pid);
}

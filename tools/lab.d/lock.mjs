// One command at a time may change a lab, one at a time may build the tree. A lock names its holder's pid and
// start time, so the lock of a crashed command is taken over and never has to be removed by hand.
import { linkSync, mkdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readJson } from './files.mjs';
import { identify, isAlive } from './processes.mjs';

/** Runs `work` while holding the lock; refuses when another live process holds it for longer than `waitMs`. */
export async function withLock(file, work, { waitMs = 0 } = {}) {
  const until = Date.now() + waitMs;
  for (let holder; (holder = take(file)) !== undefined;) {
    if (Date.now() >= until) throw new Error(`Another lab command (process ${holder.pid}) holds ${file}: wait until it is done.`);
    await sleep(200);
  }
  const release = () => rmSync(file, { force: true });
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.removeListener('exit', release);
    release();
  }
}

/** Undefined when taken, otherwise the live process that has it. */
function take(file) {
  mkdirSync(dirname(file), { recursive: true });
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, JSON.stringify(identify(process.pid)));
  try {
    for (;;) {
      try {
        linkSync(mine, file); // atomic: fails when the lock exists
        return undefined;
      } catch (error) {
        if (error.code !== 'EEXIST') throw error;
      }
      const holder = readJson(file);
      if (isAlive(holder)) return holder;
      rmSync(file, { force: true });
    }
  } finally {
    unlinkSync(mine);
  }
}

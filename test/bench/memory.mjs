// What processes cost in memory.
import { existsSync, readFileSync } from 'node:fs';

/** Proportional set size of a process, bytes. */
export function pssOf(pid) {
  const file = `/proc/${pid}/smaps_rollup`;
  return existsSync(file) ? Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(file, 'utf8'))[1]) * 1024 : 0;
}

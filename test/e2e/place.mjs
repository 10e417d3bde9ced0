// Where the test lab lives: beside the sources, or in /var/tmp when QEMU's user could not reach it there or a unix
// socket's path would become too long. `TOK_LAB_DIR` decides otherwise.
import { join, resolve } from 'node:path';
import { REPO, reachableDir } from '../../tools/lab.d/layout.mjs';

export function testLabDir(env = process.env) {
  return env.TOK_LAB_DIR ? resolve(env.TOK_LAB_DIR) : reachableDir(join(REPO, '.lab-test'), 'tok-test');
}

/** Spans of all processes of the test lab. */
export const traceFile = (dir) => join(dir, 'log', 'traces.ndjson');
/** One line per guest that did not boot and was started again. */
export const bootRetriesFile = (dir) => join(dir, 'log', 'boot-retries.ndjson');

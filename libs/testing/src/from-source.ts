// How a test runs a file of ours in a process of its own: the sources as they are, decorators included.
import { join } from 'node:path';

/** Arguments of Node before the file. */
export const fromSource: readonly string[] = ['--conditions=source', '--import', join(import.meta.dirname, 'run-typescript.mjs')];

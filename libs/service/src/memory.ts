// Gives back what the start of a process has left behind: loading a service makes a third more heap than it keeps, and
// V8 would hold on to it, in every process of the machine.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** One full collection; a pause of some tens of milliseconds, so only while nobody waits. */
export function trimHeap(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  if (typeof collect === 'function') (collect as (options: object) => void)({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

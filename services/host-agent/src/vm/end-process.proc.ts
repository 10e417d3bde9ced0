// Ends a process that may need a moment to end well: it is asked first, and killed when it does not go.
import { sleep } from '#kernel';
import { errorCode } from '../error-code.ts';
import { isAlive } from './process-table.proc.ts';

const pollMs = 5;

/** Resolves when it is gone. A pid that is another process by now is not touched. */
export async function endProcess(process_: { readonly pid: number; readonly startTicks: number }, withinMs: number): Promise<void> {
  for (let name: NodeJS.Signals = 'SIGTERM'; await isAlive(process_); name = 'SIGKILL') {
    try {
      process.kill(process_.pid, name);
    } catch (error) {
      if (errorCode(error) !== 'ESRCH') throw error;
    }
    for (const end = performance.now() + withinMs; performance.now() < end && (await isAlive(process_)); ) await sleep(pollMs);
  }
}

// Runs a reconciler again and again: never two runs at once, spread in time, a failed run logged and repeated.
import { sleep } from '#kernel';
import type { Logger } from '#telemetry';
import type { Reconciler } from './definition.ts';

/** Replicas that start together should not knock together. */
const spread = (ms: number): number => ms * (0.9 + Math.random() * 0.2);

/** Asked anew: it may have changed while the run went on, which the compiler does not see. */
const isOver = (signal: AbortSignal): boolean => signal.aborted;

/** Starts at once; the answer ends it, waiting for a run that goes on. */
export function runPeriodically(reconciler: Reconciler, log: Logger): () => Promise<void> {
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      try {
        await reconciler.run(stopping.signal);
      } catch (error) {
        if (!isOver(stopping.signal)) log.error({ err: error, reconciler: reconciler.name }, 'a reconciler failed and will run again');
      }
      await sleep(spread(reconciler.everyMs), stopping.signal);
    }
  };
  const ended = loop();
  return () => {
    stopping.abort();
    return ended;
  };
}

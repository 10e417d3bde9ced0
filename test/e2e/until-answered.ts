// Asks again what the end of a service or of a connection has left without an answer, as every client is told to do: until there is
// an answer, or a refusal that asking again does not change.
import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from './rest.ts';

const PAUSE_MS = 100;
/** What will be another answer when the same is asked again. */
const passing: ReadonlySet<string> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'OVERLOADED', 'SHUTTING_DOWN', 'RATE_LIMITED', 'INTERNAL']);

/** `once` answers undefined when there was no answer. Throws `Refusal`, and an error with the last cause after `patientMs`. */
export async function untilAnswered<T>(what: string, once: () => Promise<{ reply: T } | undefined>, patientMs: number): Promise<T> {
  let last: unknown;
  for (const giveUpAt = performance.now() + patientMs; performance.now() < giveUpAt;) {
    const answer = await once().catch((error: unknown) => {
      if (error instanceof Refusal && !passing.has(error.code)) throw error;
      last = error;
      return undefined;
    });
    if (answer !== undefined) return answer.reply;
    await sleep(PAUSE_MS);
  }
  throw new Error(`${what} was not answered within ${patientMs} ms`, { cause: last });
}

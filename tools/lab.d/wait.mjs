// Waits for a condition, or says what did not happen and shows the log of the process that should have done it.
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { lastLines } from './processes.mjs';

/** Polls `probe` until it gives something truthy; returns that. */
export async function until(probe, { what, withinMs = 30_000, everyMs = 25, logFile, stillRuns = () => true }) {
  const started = Date.now();
  for (;;) {
    const found = await probe();
    if (found) return found;
    const ended = !stillRuns();
    if (ended || Date.now() - started > withinMs) {
      const why = ended ? 'its process ended' : `not within ${withinMs} ms`;
      throw new Error(`${what}: ${why}.${logFile ? ` Last lines of ${logFile}:\n${lastLines(logFile)}` : ''}`);
    }
    await sleep(everyMs);
  }
}

/** Connects to a local TCP port, sends `greeting` if any, and resolves with the first bytes, or undefined. */
export function firstBytes(port, { greeting, withinMs = 1_000 } = {}) {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const done = (value) => { socket.destroy(); resolve(value); };
    socket.setTimeout(withinMs, () => done(undefined));
    socket.once('error', () => done(undefined));
    socket.once('close', () => done(undefined));
    if (greeting) socket.once('connect', () => socket.write(greeting));
    socket.once('data', (bytes) => done(bytes));
  });
}

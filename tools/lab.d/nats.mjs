// A NATS server with a configuration that the caller has written. Ready when it greets, which it does only
// after JetStream has recovered its streams.
import { firstBytes, until } from './wait.mjs';

/** Starts (or finds) the server. */
export async function startNats({ binary, configFile, port, processes, name = 'nats' }) {
  // Everybody waits for the bus, which needs little.
  processes.start(name, [binary, '--config', configFile], { runsFirst: true });
  await until(async () => String(await firstBytes(port)).startsWith('INFO '), {
    what: 'NATS did not come up', logFile: processes.logFile(name), stillRuns: () => processes.isAlive(name),
  });
  return { port, url: `nats://127.0.0.1:${port}` };
}

// Free TCP ports of 127.0.0.1, chosen once per name and recorded, so that a lab keeps its addresses
// over restarts. They lie below the range that the kernel hands out to outgoing connections.
import { createServer } from 'node:net';
import { SECRET, readJson, writeJson } from './files.mjs';

const LOWEST = 20_000;
const HIGHEST = 32_000;

export function isFree(port, host = '127.0.0.1') {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

/**
 * The ports of `names`: those recorded in `known`, and new free ones for the rest. Choice starts at a
 * place that `seed` decides, so two labs side by side rarely meet even before they look.
 */
export async function choosePorts(names, { known = {}, seed = 0, free = isFree } = {}) {
  const ports = { ...known };
  const taken = new Set(Object.values(ports));
  const span = HIGHEST - LOWEST;
  let step = 0;
  for (const name of names) {
    while (ports[name] === undefined) {
      if (step >= span) throw new Error(`No free port of 127.0.0.1 between ${LOWEST} and ${HIGHEST}: end something that listens there.`);
      const port = LOWEST + ((seed + step++) % span);
      if (!taken.has(port) && (await free(port))) {
        ports[name] = port;
        taken.add(port);
      }
    }
  }
  return ports;
}

/** `choosePorts` with its record in a file. */
export async function recordedPorts(file, names, seed = 0) {
  const known = readJson(file, {});
  const ports = await choosePorts(names, { known, seed });
  if (Object.keys(ports).length !== Object.keys(known).length) writeJson(file, ports, SECRET);
  return ports;
}

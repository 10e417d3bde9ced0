// A query through a service against a raw NATS request of the same size: same server, same client library, the
// responder in a process of its own in both cases. Rounds alternate, so that both see the same machine.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { median, series } from './statistics.mjs';

const ROUNDS = 5;
const REQUESTS = 600;

export async function benchBus(lab, record, dist) {
  const { connectBus, BusClient, silentLog } = await import(join(dist, 'libs/bus/src/index.js'));
  const { signingKeys } = await import(join(dist, 'libs/contracts/src/index.js'));
  const connection = await connectBus({ url: record.nats.url, credsFile: record.nats.creds.gateway, name: 'bench', log: silentLog });
  const client = new BusClient({ connection, service: 'gateway' });
  const first = await client.request(signingKeys, {}, { as: 'system' });
  if (!first.ok) throw new Error(`auth does not answer: ${first.fault.detail}`);
  const body = JSON.stringify(first.value);
  // Only services may publish to inboxes, and nobody but its owner listens there: the raw answer is nobody else's.
  const subject = '_INBOX.ha.bench-echo';
  const raw = await connectBus({ url: record.nats.url, credsFile: record.nats.creds.compute, name: 'bench-raw', log: silentLog });
  const echo = spawn(lab.node, [join(import.meta.dirname, 'echo-responder.mjs'), dist, record.nats.url, record.nats.creds.ha, subject, body], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(echo.stdout, 'data');
    const rawTimes = [];
    const through = [];
    for (let round = 0; round < ROUNDS; round++) {
      rawTimes.push(...(await series(REQUESTS, () => raw.request(subject, '{}', { timeout: 2_000 }))));
      through.push(...(await series(REQUESTS, async () => { if (!(await client.request(signingKeys, {}, { as: 'system' })).ok) throw new Error('a query failed'); })));
    }
    return [{ what: 'bus query through a service, p50 (auth.key.list)', measured: median(through), limit: median(rawTimes), unit: 'ms', limitText: 'raw NATS request of the same size', ratio: median(through) / median(rawTimes), target: { most: 1.6 } }];
  } finally {
    echo.kill();
    await raw.close();
    await connection.close();
  }
}

// REST read of one object through gateway, bus and owner, against a bare Fastify that answers the same bytes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { throughput } from './statistics.mjs';

const REQUESTS = 4_000;
const LANES = 32;
const ROUNDS = 3;

function get(agent, url, token) {
  return new Promise((resolve, reject) => {
    request(url, { agent, headers: token ? { authorization: `Bearer ${token}` } : {} }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => (response.statusCode === 200 ? resolve(Buffer.concat(parts)) : reject(new Error(`HTTP ${response.statusCode}: ${Buffer.concat(parts)}`))));
    }).on('error', reject).end();
  });
}

export async function benchRest(lab, rest, path) {
  const agent = new Agent({ keepAlive: true, maxSockets: LANES });
  const url = new URL(path, `http://127.0.0.1:${lab.ports.http}`);
  const body = await get(agent, url, rest.token);
  const bare = spawn(lab.node, [join(import.meta.dirname, 'bare-fastify.mjs'), body.toString()], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const bareUrl = new URL(String((await once(bare.stdout, 'data'))[0]).trim());
    const measured = [];
    const limit = [];
    await throughput(500, LANES, () => get(agent, bareUrl));
    await throughput(500, LANES, () => get(agent, url, rest.token));
    for (let round = 0; round < ROUNDS; round++) {
      limit.push(await throughput(REQUESTS, LANES, () => get(agent, bareUrl)));
      measured.push(await throughput(REQUESTS, LANES, () => get(agent, url, rest.token)));
    }
    const best = (values) => Math.max(...values);
    return [{ what: `REST read of one object (GET ${path.replace(/[0-9a-f-]{36}/, '{id}')}, ${LANES} connections)`, measured: best(measured), limit: best(limit), unit: 'requests/s', limitText: 'bare Fastify with the same bytes', ratio: best(measured) / best(limit), target: { least: 0.35 } }];
  } finally {
    bare.kill();
    agent.destroy();
  }
}

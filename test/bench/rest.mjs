// REST reads through gateway, bus and owner, against a bare Fastify that answers the same bytes: of one object, whose
// equal questions share an answer, and of different ones, which do not.
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

/** VMs that do not run, a page of them made at once. */
async function idleVms(rest, count) {
  const refs = await Promise.all(Array.from({ length: count }, (_, index) => rest.post('/v1/vms', { name: `bench-idle-${index}-${Date.now()}`, disks: [], nics: [], start: false })));
  return Promise.all(refs.map(async (ref) => (await rest.finished(ref)).object.id));
}

export async function benchRest(lab, rest, path) {
  const agent = new Agent({ keepAlive: true, maxSockets: LANES });
  const urlOf = (at) => new URL(at, `http://127.0.0.1:${lab.ports.http}`);
  const url = urlOf(path);
  const body = await get(agent, url, rest.token);
  const others = (await idleVms(rest, LANES)).map((id) => urlOf(`/v1/vms/${id}`));
  const bare = spawn(lab.node, [join(import.meta.dirname, 'bare-fastify.mjs'), body.toString()], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    const bareUrl = new URL(String((await once(bare.stdout, 'data'))[0]).trim());
    const measured = [];
    const limit = [];
    const different = [];
    let turn = 0;
    await throughput(500, LANES, () => get(agent, bareUrl));
    await throughput(500, LANES, () => get(agent, url, rest.token));
    for (let round = 0; round < ROUNDS; round++) {
      limit.push(await throughput(REQUESTS, LANES, () => get(agent, bareUrl)));
      measured.push(await throughput(REQUESTS, LANES, () => get(agent, url, rest.token)));
      different.push(await throughput(REQUESTS, LANES, () => get(agent, others[turn++ % others.length], rest.token)));
    }
    const best = (values) => Math.max(...values);
    const row = (what, values, target) => ({ what, measured: best(values), limit: best(limit), unit: 'requests/s', limitText: 'bare Fastify with the same bytes', ratio: best(values) / best(limit), target });
    return [
      row(`REST read of one object (GET ${path.replace(/[0-9a-f-]{36}/, '{id}')}, ${LANES} connections)`, measured, { least: 0.35 }),
      row(`the same of ${LANES} different objects in turn`, different, {}),
    ];
  } finally {
    bare.kill();
    agent.destroy();
  }
}

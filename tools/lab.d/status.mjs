// `tools/lab status`: what runs, what is ready, the hosts and the demo VM, as one table or as JSON.
import { readFileSync } from 'node:fs';
import { composeStatus } from './compose.mjs';
import { healthProbes } from './services.mjs';
import { readRecord } from './record.mjs';
import { parseStat } from './processes.mjs';
import { pingFromUplink } from './uplink.mjs';

/** { processes: [{ name, pid, state, ready, startedAt }], record, demoAnswers }. */
export async function readStatus(lab) {
  const probes = new Map(healthProbes(lab).map((probe) => [probe.name, probe]));
  const record = readRecord(lab);
  const own = await Promise.all(lab.processes.list().map(async ({ name, pid, startedAt }) => {
    const alive = lab.processes.isAlive(name);
    return { name, pid, startedAt, state: alive ? stateOf(pid) : 'ended', ready: alive && probes.has(name) ? await probes.get(name).ready() : null };
  }));
  const processes = [...own, ...await composeStatus(lab)];
  const demoAnswers = record.demo && processes.some(({ state }) => state === 'running') ? await pingFromUplink(lab, record.demo.ip, { withinMs: 1_000 }) : null;
  return { processes, record, demoAnswers };
}

function stateOf(pid) {
  return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8')).state === 'T' ? 'halted' : 'running';
}

export async function printStatus(lab, { json = false } = {}) {
  const { processes, record, demoAnswers } = await readStatus(lab);
  if (json) return console.log(JSON.stringify({ dir: lab.dir, processes, demo: record.demo ?? null, demoAnswers }, null, 2));
  if (processes.length === 0) return console.log(`The lab in ${lab.dir} is down.`);
  console.log(table([
    ['process', 'pid', 'state', 'ready', 'since'],
    ...processes.map(({ name, pid, state, ready, startedAt }) => [name, String(pid), state, ready === null ? '' : ready ? 'yes' : 'NO', startedAt.slice(0, 19).replace('T', ' ')]),
  ]));
  for (const host of record.hosts ?? []) console.log(`${host.name}  ${host.id}  namespace ${host.namespace}`);
  if (record.gateway) console.log(`gateway ${record.gateway.url}`);
  if (record.demo) console.log(`demo VM ${record.demo.vmId} ${record.demo.ip} ${demoAnswers ? 'answers a ping' : 'does not answer a ping'}`);
}

export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join('  ').trimEnd()).join('\n');
}

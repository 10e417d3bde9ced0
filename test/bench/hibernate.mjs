// Putting a VM to sleep and waking it, each against the same by hand: the same VM's own arguments, its memory saved and loaded over QMP.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inside } from '../../tools/lab.d/namespaces.mjs';
import { run } from '../../tools/lab.d/run.mjs';
import { median } from './statistics.mjs';
import { argumentOf, argvOf, bareArguments, textIn } from './vm.mjs';

const MiB = 1024 ** 2;
/** What QEMU writes grows with what the guest has in use; what stands around it does not. */
const GUESTS = [
  { what: '', runs: 4, memoryBytes: undefined, usedMiB: 0 },
  { what: ' of a guest that uses 384 MiB', runs: 2, memoryBytes: 1024 * MiB, usedMiB: 384 },
];
const FILL_MS = 180_000;

/** A monitor by hand: one command at a time. */
async function monitorOf(path) {
  for (const until = Date.now() + 20_000; ; await sleep(2)) {
    const socket = createConnection(path);
    // An error before the connection rejects the wait for it.
    const connected = await once(socket, 'connect').then(() => true, () => false);
    if (connected) return talkTo(socket.on('error', () => socket.destroy())); // it breaks when QEMU quits
    if (Date.now() > until) throw new Error('the bare QEMU has no monitor');
  }
}

async function talkTo(socket) {
  const lines = [];
  let rest = '';
  let wake = () => {};
  socket.on('data', (data) => {
    const parts = (rest + data).split('\n');
    rest = parts.pop();
    lines.push(...parts.map((line) => JSON.parse(line)).filter((message) => !('event' in message)));
    wake();
  });
  const next = async () => {
    while (lines.length === 0) await new Promise((resolve) => { wake = resolve; });
    return lines.shift();
  };
  const tell = async (execute, args) => {
    socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const answer = await next();
    if (answer.error) throw new Error(`${execute}: ${answer.error.desc}`);
    return answer.return;
  };
  const job = async (command, args) => {
    await tell(command, { 'job-id': command, ...args });
    for (;;) {
      const [found] = (await tell('query-jobs')).filter(({ id }) => id === command);
      if (found.status === 'concluded') {
        if (found.error) throw new Error(found.error);
        return tell('job-dismiss', { id: command });
      }
      await sleep(2);
    }
  };
  await next(); // the greeting
  await tell('qmp_capabilities');
  return { tell, job };
}

const node = (filename) => ({ driver: 'qcow2', 'node-name': 'memory', file: { driver: 'file', filename } });
const snapshot = { tag: 'memory', vmstate: 'memory', devices: ['memory'] };

/** Has the guest keep so much in its memory that is not nought, by the shell on its serial line. */
async function fill(argv, log, usedMiB) {
  if (usedMiB === 0) return;
  const socket = createConnection(argumentOf(argv, 'serial', 'path'));
  try {
    await once(socket, 'connect');
    socket.resume();
    // What the shell shows of the command itself is not the word that is waited for.
    socket.write(`\ndd if=/dev/urandom of=/fill bs=1M count=${usedMiB} && echo FILL""ED\n`);
    await textIn(log, 'FILLED', FILL_MS);
  } finally {
    socket.destroy();
  }
}

/** Boots by hand, saves, ends; begins again and loads. Answers how long each took, ms. */
async function bare(lab, host, argv, backing, usedMiB) {
  const dir = mkdtempSync(join(lab.dir, 'bench-'));
  const { words, console_, qmp, free } = await bareArguments(lab, host, argv, backing, dir);
  const memory = join(dir, 'memory.qcow2');
  const start = (more) => {
    const [program, ...rest] = inside(lab.names.hostNamespace(host.name), [...words, ...more]);
    return spawn(program, rest, { stdio: ['ignore', 'ignore', 'inherit'] });
  };
  const ending = (qemu) => new Promise((resolve) => { qemu.once('exit', resolve); });
  let qemu = start([]);
  try {
    await textIn(console_, 'GUEST-UP', 90_000);
    await fill(words, console_, usedMiB);
    const first = await monitorOf(qmp);
    const saving = performance.now();
    await run(['qemu-img', 'create', '-q', '-f', 'qcow2', memory, '256M']);
    await first.tell('stop');
    await first.tell('blockdev-add', node(memory));
    await first.job('snapshot-save', snapshot);
    const gone = ending(qemu);
    await first.tell('quit');
    await gone;
    const saveMs = performance.now() - saving;

    const loading = performance.now();
    qemu = start(['-S']);
    const second = await monitorOf(qmp);
    await second.tell('blockdev-add', node(memory));
    await second.job('snapshot-load', snapshot);
    await second.tell('cont');
    return { saveMs, loadMs: performance.now() - loading };
  } finally {
    const gone = qemu.exitCode === null ? ending(qemu) : undefined;
    qemu.kill('SIGKILL');
    await gone;
    await free();
    rmSync(dir, { recursive: true });
  }
}

export async function benchHibernate(lab, record, rest, ids) {
  const rows = [];
  for (const guest of GUESTS) rows.push(...(await benchGuest(lab, record, rest, ids, guest)));
  return rows;
}

async function benchGuest(lab, record, rest, { templateId, portGroupId }, { what, runs, memoryBytes, usedMiB }) {
  const host = record.hosts[0];
  const template = await rest.get(`/v1/templates/${templateId}`);
  const backing = join(record.datastore.path, 'images', `${template.volumeId}.qcow2`);
  const seen = { hibernate: [], wake: [], save: [], load: [] };
  const made = await rest.finished(await rest.post('/v1/vms', { name: `bench-sleep-${Date.now()}`, templateId, deploy: 'linked', hostId: host.id, nics: [{ portGroupId }], memoryBytes }));
  const path = `/v1/vms/${made.object.id}`;
  const timed = async (verb, body) => {
    const started = performance.now();
    await rest.finished(await rest.post(`${path}/${verb}`, body));
    return performance.now() - started;
  };
  const argv = argvOf((await rest.get(path)).status.pid);
  const log = argumentOf(argv, 'serial', 'logfile');
  await textIn(log, 'GUEST-UP', 90_000);
  await fill(argv, log, usedMiB);
  for (let index = 0; index < runs; index++) {
    seen.hibernate.push(await timed('hibernate', {}));
    seen.wake.push(await timed('start', { hostId: host.id }));
    const limit = await bare(lab, host, argv, backing, usedMiB);
    seen.save.push(limit.saveMs);
    seen.load.push(limit.loadMs);
  }
  await rest.finished(await rest.delete(`${path}?force=true&purge=true`));
  const row = (verb, measured, limit, limitText) => ({ what: `${verb}${what}, request sent to the finished task`, measured: median(measured), limit: median(limit), unit: 'ms', limitText, ratio: median(measured) / median(limit), target: { most: 1.5 } });
  return [
    row('hibernate', seen.hibernate, seen.save, 'volume made, memory saved over QMP, QEMU ended'),
    row('wake', seen.wake, seen.load, 'QEMU started, memory loaded over QMP, continued'),
  ];
}

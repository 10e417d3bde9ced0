// From "create" to QEMU running, and from QEMU's start to the guest's userland, each against the bare process with the
// same arguments, in the same namespace, on the same image.
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, existsSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inside } from '../../tools/lab.d/namespaces.mjs';
import { run } from '../../tools/lab.d/run.mjs';
import { median } from './statistics.mjs';

const RUNS = 5;
const TAP = 'bench0';

/** What a character device of QEMU is told: its `path`, or where it is logged. */
export const argumentOf = (argv, device, name) => argv.find((word) => word.startsWith(`socket,id=${device}`))?.match(new RegExp(`${name}=([^,]+)`))?.[1];

const consoleOf = (host, vmId) => join(host.stateDir, 'vms', vmId);
export const argvOf = (pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1);

/** Monotonic-like start of a process in epoch ms, from the kernel's own record (10 ms steps). */
function startOf(pid) {
  const ticks = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')[19]);
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000;
  return Date.now() - uptime + ticks * 10;
}

export async function textIn(file, text, withinMs) {
  for (const until = Date.now() + withinMs; Date.now() < until; await sleep(5)) {
    if (existsSync(file) && readFileSync(file, 'latin1').includes(text)) return Date.now();
  }
  throw new Error(`"${text}" did not appear in ${file} within ${withinMs} ms`);
}

function qmpRunning(path) {
  return new Promise((resolve, reject) => {
    const attempt = () => {
      const socket = createConnection(path);
      let text = '';
      socket.on('error', () => setTimeout(attempt, 2));
      socket.on('connect', () => socket.write('{"execute":"qmp_capabilities"}\n{"execute":"query-status"}\n'));
      socket.on('data', (data) => {
        text += data;
        if (!text.includes('"running"')) return;
        socket.destroy();
        resolve();
      });
    };
    attempt();
    setTimeout(() => reject(new Error('the bare QEMU does not run')), 20_000).unref();
  });
}

/** A VM's arguments for the scratch directory `dir`: own sockets, own tap, own overlay over the same image. */
export async function bareArguments(lab, host, argv, backing, dir) {
  const disk = join(dir, 'disk.qcow2');
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', backing, '-F', 'qcow2', disk]);
  const ns = (words) => inside(lab.names.hostNamespace(host.name), words);
  await run(ns(['ip', 'tuntap', 'add', TAP, 'mode', 'tap']));
  const words = argv.map((word) => word
    .replaceAll(/\/[^,"=]*\/vms\/[0-9a-f-]{36}\/(?:run\/)?/g, `${dir}/`)
    .replaceAll(/\/[^,"]*\/volumes\/[0-9a-f-]{36}\.qcow2/g, disk)
    .replaceAll(/tok-[a-z0-9-]+(?=["',]|$)/g, (name) => name)
    .replaceAll(/("ifname":")[^"]+|(ifname=)[^,]+/g, (_all, json, plain) => `${json ?? plain}${TAP}`));
  return { words, qmp: argumentOf(words, 'qmp', 'path'), console_: argumentOf(words, 'serial', 'logfile'), free: () => run(ns(['ip', 'link', 'del', TAP])) };
}

async function bare(lab, host, argv, backing) {
  const dir = mkdtempSync(join(lab.dir, 'bench-'));
  const { words, qmp, console_, free } = await bareArguments(lab, host, argv, backing, dir);
  const started = performance.now();
  const startedAt = Date.now();
  const [program, ...rest] = inside(lab.names.hostNamespace(host.name), words);
  const qemu = spawn(program, rest, { stdio: ['ignore', 'ignore', 'inherit'] });
  try {
    await qmpRunning(qmp);
    const runningMs = performance.now() - started;
    return { runningMs, userlandMs: (await textIn(console_, 'GUEST-UP', 90_000)) - startedAt };
  } finally {
    const ended = new Promise((resolve) => { qemu.once('exit', resolve); });
    qemu.kill('SIGKILL');
    await ended;
    await free();
    rmSync(dir, { recursive: true });
  }
}

export async function benchVm(lab, record, rest, { templateId, portGroupId }) {
  const host = record.hosts[0];
  const template = await rest.get(`/v1/templates/${templateId}`);
  const backing = join(record.datastore.path, 'images', `${template.volumeId}.qcow2`);
  const seen = { create: [], client: [], userland: [], bareRunning: [], bareUserland: [] };
  for (let index = 0; index < RUNS; index++) {
    const sentAt = Date.now();
    const started = performance.now();
    const task = await rest.finished(await rest.post('/v1/vms', { name: `bench-${Date.now()}`, templateId, deploy: 'linked', hostId: host.id, nics: [{ portGroupId }] }));
    seen.client.push(performance.now() - started);
    // The step ends when the host has answered that QMP says `running`; the same machine's clock on both sides.
    seen.create.push(new Date(task.steps.find((step) => step.name === 'start-on-host').endedAt) - sentAt);
    const vm = await rest.get(`/v1/vms/${task.object.id}`);
    const argv = argvOf(vm.status.pid);
    const log = argumentOf(argv, 'serial', 'logfile') ?? join(consoleOf(host, vm.id), 'console.log');
    seen.userland.push((await textIn(log, 'GUEST-UP', 90_000)) - startOf(vm.status.pid));
    await rest.finished(await rest.delete(`/v1/vms/${vm.id}?force=true&purge=true`));
    const limit = await bare(lab, host, argv, backing);
    seen.bareRunning.push(limit.runningMs);
    seen.bareUserland.push(limit.userlandMs);
  }
  const over = median(seen.create) - median(seen.bareRunning);
  return [
    { what: 'create (linked clone, one NIC), request sent to QEMU running', measured: median(seen.create), limit: median(seen.bareRunning), unit: 'ms', limitText: 'bare QEMU with the same arguments', ratio: median(seen.create) / median(seen.bareRunning), over, target: { mostOver: 300 } },
    { what: 'the same, until the REST client has the finished task', measured: median(seen.client), limit: median(seen.bareRunning), unit: 'ms', limitText: 'bare QEMU with the same arguments', ratio: median(seen.client) / median(seen.bareRunning), target: {} },
    { what: 'QEMU start to guest userland', measured: median(seen.userland), limit: median(seen.bareUserland), unit: 'ms', limitText: 'bare boot with the same arguments', ratio: median(seen.userland) / median(seen.bareUserland), target: { most: 1.15 } },
  ];
}

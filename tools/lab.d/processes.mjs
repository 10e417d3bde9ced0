// Starts long-lived processes and finds them again. A process is known by its pid and its
// start time (/proc/PID/stat field 22), so a number that was used again is never signalled.
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SECRET, readJson, writeJson } from './files.mjs';

const STOP_WAIT_MS = 10_000;

/** Start time in clock ticks since boot and state letter, from the text of /proc/PID/stat. */
export function parseStat(text) {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0], startTime: fields[19] };
}

function stat(pid) {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined;
  }
}

/** What identifies a running process, or undefined; a zombie does not run. */
export function identify(pid) {
  const found = stat(pid);
  if (!found || found.state === 'Z' || found.state === 'X') return undefined;
  return { pid, startTime: found.startTime };
}

/** Whether the very process of this record still runs. */
export function isAlive(record) {
  if (record === undefined) return false;
  const now = identify(record.pid);
  return now !== undefined && now.startTime === record.startTime;
}

/** Signals the process of the record; false when it is gone. */
export function signal(record, name) {
  if (!isAlive(record)) return false;
  try {
    process.kill(record.pid, name);
    return true;
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
}

/** SIGTERM, wait, SIGKILL. A stopped (SIGSTOP) process is woken so that it can end. */
export async function end(record, { waitMs = STOP_WAIT_MS } = {}) {
  if (!signal(record, 'SIGTERM')) return;
  signal(record, 'SIGCONT');
  if (await gone(record, waitMs)) return;
  signal(record, 'SIGKILL');
  if (!(await gone(record, 5_000))) throw new Error(`Process ${record.pid} does not end, not even by SIGKILL.`);
}

async function gone(record, withinMs) {
  const until = Date.now() + withinMs;
  while (isAlive(record)) {
    if (Date.now() > until) return false;
    await sleep(15);
  }
  return true;
}

/**
 * On a busy machine the processes of this session get up to ten times as much of it as others' (sched(7), autogroup). Where the kernel
 * does not group processes so, or this user may not say it, it runs like everybody.
 */
function letRunFirst(pid) {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, '-10');
  } catch (error) {
    if (!['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code)) throw error;
  }
}

/**
 * The processes of one directory: a record per name in `<runDir>/<name>.json`, written at once after
 * the spawn. `start` leaves a live process alone; `stopAll` goes from the youngest to the oldest.
 */
export function processTable(runDir, logDir) {
  const fileOf = (name) => join(runDir, `${name}.json`);
  const get = (name) => readJson(fileOf(name));

  function list() {
    let files = [];
    try { files = readdirSync(runDir); } catch { return []; }
    return files.filter((file) => file.endsWith('.json')).map((file) => get(file.slice(0, -5))).filter(Boolean)
      .sort((a, b) => a.order - b.order);
  }

  /** Starts `argv` in a session of its own, output appended to the log; returns its record. */
  function start(name, argv, { cwd, env, uid, gid, note, runsFirst } = {}) {
    const before = get(name);
    if (isAlive(before)) return before;
    mkdirSync(logDir, { recursive: true });
    mkdirSync(runDir, { recursive: true });
    const logFile = join(logDir, `${name}.log`);
    const log = openSync(logFile, 'a', 0o640);
    let child;
    try {
      child = spawn(argv[0], argv.slice(1), { cwd, env, uid, gid, detached: true, stdio: ['ignore', log, log] });
    } finally {
      closeSync(log);
    }
    child.on('error', () => {});
    if (child.pid === undefined) throw new Error(`${name}: cannot start ${argv[0]}: is it installed?`);
    if (runsFirst) letRunFirst(child.pid);
    const record = {
      name, pid: child.pid, startTime: stat(child.pid)?.startTime, order: Number(process.hrtime.bigint() / 1000n),
      startedAt: new Date().toISOString(), command: argv, logFile, ...(note ? { note } : {}), ...(runsFirst ? { runsFirst } : {}),
    };
    writeJson(fileOf(name), record, SECRET);
    child.unref();
    return record;
  }

  async function stop(name, options) {
    await end(get(name), options);
    rmSync(fileOf(name), { force: true });
  }

  async function stopAll(options) {
    for (const record of list().reverse()) await stop(record.name, options);
  }

  /** Ends several at once, for those that do not depend on each other. */
  async function stopTogether(names, options) {
    await Promise.all(names.map((name) => stop(name, options)));
  }

  return {
    start, stop, stopAll, stopTogether, list, get,
    isAlive: (name) => isAlive(get(name)),
    signal: (name, signalName) => signal(get(name), signalName),
    logFile: (name) => join(logDir, `${name}.log`),
  };
}

/** The last lines of a log, for messages about a process that did not come up. */
export function lastLines(logFile, count = 15) {
  try {
    return readFileSync(logFile, 'utf8').trimEnd().split('\n').slice(-count).join('\n');
  } catch {
    return `(no log in ${dirname(logFile)})`;
  }
}

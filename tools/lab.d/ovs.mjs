// A private Open vSwitch in one namespace: its own database, sockets and logs in one directory.
// It starts without bridges of its own; who uses it makes them.
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { inside } from './namespaces.mjs';
import { findCommand } from './packages.mjs';
import { run } from './run.mjs';
import { until } from './wait.mjs';

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema';

/** Environment in which ovs-vsctl, ovs-ofctl and ovs-appctl talk to this switch. */
export function ovsEnv(dir) {
  return { OVS_RUNDIR: dir, OVS_DBDIR: dir, OVS_LOGDIR: dir, OVS_SYSCONFDIR: dir };
}

const withEnv = (dir) => ({ ...process.env, ...ovsEnv(dir) });

export function vsctl(dir, args, { timeoutMs = 15_000 } = {}) {
  return run(['ovs-vsctl', `--timeout=${Math.ceil(timeoutMs / 1000)}`, ...args], { env: withEnv(dir), timeoutMs: timeoutMs + 1_000 });
}

/** Names of the two processes in the process table. */
export function ovsProcesses(name) {
  return { database: `ovsdb-${name}`, daemon: `vswitchd-${name}` };
}

/** Starts (or finds) the database and the switch; ready when the switch has taken its configuration. */
export async function startOvs({ dir, namespace, name, processes }) {
  mkdirSync(dir, { recursive: true });
  const names = ovsProcesses(name);
  const database = join(dir, 'conf.db');
  if (!existsSync(database)) await run(['ovsdb-tool', 'create', database, SCHEMA]);
  const env = withEnv(dir);
  const options = ['--no-chdir', '-vconsole:warn', '-vsyslog:off', '-vfile:off'];

  if (!processes.isAlive(names.database)) {
    rmSync(join(dir, 'db.sock'), { force: true });
    processes.start(names.database, inside(namespace, [
      findCommand('ovsdb-server'), database, `--remote=punix:${join(dir, 'db.sock')}`, '--pidfile', ...options,
    ]), { env });
  }
  await until(() => existsSync(join(dir, 'db.sock')), {
    what: `The switch database of ${name} did not come up`, logFile: processes.logFile(names.database), stillRuns: () => processes.isAlive(names.database),
  });
  await vsctl(dir, ['--no-wait', 'init']);
  processes.start(names.daemon, inside(namespace, [findCommand('ovs-vswitchd'), `unix:${join(dir, 'db.sock')}`, '--pidfile', ...options]), { env });
  // A change is answered only when the daemon has carried out all of the configuration, devices of an earlier run included.
  await vsctl(dir, ['set', 'Open_vSwitch', '.', `external_ids:lab-started=${Date.now()}`]);
  return { env: ovsEnv(dir), rundir: dir };
}

export async function stopOvs({ name, processes }) {
  const names = ovsProcesses(name);
  await processes.stop(names.daemon);
  await processes.stop(names.database);
}

// Starts a VM's QEMU, or its TPM, as a process that belongs to nobody: own session, own cgroup, the VM's uid, no capability and no
// way to get one. The pid is on disk before QEMU exists, so that no crash of the agent can lose the process.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { FileHandle } from 'node:fs/promises';

export interface LaunchInput {
  /** Where the pid is written. */
  readonly pidFile: string;
  /** For both outputs. */
  readonly openLog: () => Promise<FileHandle>;
  readonly program: string;
  readonly argv: readonly string[];
  readonly uid: number;
  /** Groups beside the VM's own: who may read templates, who may use KVM. */
  readonly groups: readonly number[];
  /** `cgroup.procs` files to enter. */
  readonly cgroups: readonly string[];
}

/** How the child of this agent ended; not known for a process that was adopted. */
export interface ChildEnd { readonly code: number | null; readonly signal: NodeJS.Signals | null }
export interface Launched { readonly pid: number; readonly ended: Promise<ChildEnd> }

// $1 = pid file, $2 = number of cgroup files, then these, then the program. The shell's own words are kept to builtins:
// it is the process that becomes the program.
const script = 'umask 177; echo $$ > "$1" || exit 97; n=$2; shift 2; while [ "$n" -gt 0 ]; do echo $$ > "$1" || exit 98; shift; n=$((n-1)); done; exec "$@"';
const environment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };

/** Rejects only when no process can be made at all. */
export async function launch({ pidFile, openLog, program, argv, uid, groups, cgroups }: LaunchInput): Promise<Launched> {
  const privileges = [
    'setpriv', '--reuid', String(uid), '--regid', String(uid),
    ...(groups.length === 0 ? ['--clear-groups'] : ['--groups', groups.join(',')]),
    '--no-new-privs', '--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all',
  ];
  const log = await openLog();
  try {
    const child = spawn('/bin/sh', ['-c', script, 'sh', pidFile, String(cgroups.length), ...cgroups, ...privileges, program, ...argv], {
      cwd: '/', detached: true, env: environment, stdio: ['ignore', log.fd, log.fd],
    });
    return { pid: await pidOf(child), ended: endOf(child) };
  } finally {
    await log.close();
  }
}

function pidOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => {
      child.unref();
      resolve(child.pid!); // set when 'spawn' is emitted
    });
  });
}

const endOf = (child: ChildProcess): Promise<ChildEnd> =>
  new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });

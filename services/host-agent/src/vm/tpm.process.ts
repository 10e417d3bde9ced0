// The TPM of one VM: swtpm as a process beside QEMU, with the same user, groups and session, and with its state on a volume
// that it holds locked for as long as it lives. It ends when its QEMU's connection does; where none came, it is ended here.
import { constants } from 'node:fs';
import { access, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { VolumePlace } from '#contracts';
import { QemuFailed } from '#contracts';
import type { Result } from '#kernel';
import { ok, sleep } from '#kernel';
import { endProcess } from './end-process.proc.ts';
import { launch } from './launch.process.ts';
import { isAlive, processesWith, startTicksOf } from './process-table.proc.ts';
import type { ProcessSeen } from './process-table.proc.ts';
import { headerBytes, kindOfState } from './tpm-state.ts';
import type { VmDirectory } from './vm-directory.store.ts';

export interface TpmInput {
  readonly directory: VmDirectory;
  /** swtpm; null where none is installed. */
  readonly program: string | null;
  readonly place: VolumePlace;
  readonly uid: number;
  readonly cgroups: readonly string[];
}

const flockProgram = '/usr/bin/flock';
/** What flock ends with when somebody else has the lock. */
const lockedStatus = 99;
const listensWithinMs = 15_000;
const endsWithinMs = 3_000;
const pollMs = 4;

/** The argument that names a VM's TPM and no other's. */
const control = (directory: VmDirectory): string => `type=unixio,path=${directory.paths.tpm},mode=0600`;

export const tpmArguments = (directory: VmDirectory, program: string, path: string): string[] => [
  // The lock goes on with the process that flock becomes, and falls with it.
  '--no-fork', '--exclusive', '--nonblock', '--conflict-exit-code', String(lockedStatus), path,
  program, 'socket', '--tpm2', '--tpmstate', `backend-uri=file://${path}`, '--ctrl', control(directory), '--terminate',
];

/** Resolves when the TPM can be connected to; whatever else happens, what was begun is ended by `endTpm`. */
export async function startTpm({ directory, program, place, uid, cgroups }: TpmInput): Promise<Result<void>> {
  if (program === null) return QemuFailed.fail('The host has no swtpm, so it cannot give the VM a TPM.', { reason: 'swtpm is not installed' });
  const path = join(place.datastorePath, place.relativePath);
  if ((await kindAt(path)) === 'damaged') {
    return QemuFailed.fail('The state of the VM’s TPM is damaged; with what is there its keys would be lost for good.', { reason: `${place.relativePath} holds no state of a TPM` });
  }
  const { pid, ended } = await launch({ pidFile: directory.tpmPidFile, openLog: () => directory.openTpmLog(), program: flockProgram, argv: tpmArguments(directory, program, path), uid, groups: [], cgroups });
  const startTicks = await startTicksOf(pid);
  for (const end = performance.now() + listensWithinMs; performance.now() < end; ) {
    if (startTicks === null || !(await isAlive({ pid, startTicks }))) return failedWith((await ended).code, await directory.readTpmLog());
    if (await access(directory.paths.tpm).then(() => true, () => false)) return ok(undefined);
    await sleep(pollMs);
  }
  return QemuFailed.fail('The VM’s TPM was started and did not answer.', { reason: `nobody listens on ${directory.paths.tpm}` });
}

function failedWith(status: number | null, log: string): Result<never> {
  if (status === lockedStatus) return QemuFailed.fail('The VM’s TPM is in use by another process.', { reason: 'the state of the TPM is locked' });
  const words = log.trim().split('\n').slice(-3).join('; ').slice(-300);
  return QemuFailed.fail(`The VM’s TPM did not start.${words === '' ? '' : ` (${words})`}`, { reason: words === '' ? `swtpm ended with status ${status}` : words });
}

async function kindAt(path: string) {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0);
    return kindOfState(buffer.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

/** The TPM's process, also one that is still about to become it. */
export async function findTpm(directory: VmDirectory): Promise<ProcessSeen | undefined> {
  return (await directory.hadTpm()) ? (await processesWith(control(directory)))[0] : undefined;
}

/** Ends a TPM whose QEMU is gone or never came. It is asked first: what it writes is then written whole. */
export async function endTpm(directory: VmDirectory): Promise<void> {
  const tpm = await findTpm(directory);
  if (tpm !== undefined) await endProcess(tpm, endsWithinMs);
}

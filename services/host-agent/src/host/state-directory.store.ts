// The agent's own directory. One agent at a time works on it: the lock is the kernel's and ends with the process, however
// that ends. Each start gets a higher number, by which reports of an earlier start are told from those of a later.
import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { chmod, mkdir, open, readFile, readlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isMissing, vmsPath } from '../vm/vm-directory.store.ts';
import { writeWhole } from '../journal/journal.store.ts';

const AgentFile = z.object({ epoch: z.int().min(0) });

export class DirectoryLocked extends Error {
  override readonly name = 'DirectoryLocked';
}

export interface StateDirectory {
  /** Counts the agent's starts. */
  readonly epoch: number;
  /** Changes with each boot of the machine, and differs between hosts that share one. */
  readonly bootId: string;
  release(): Promise<void>;
}

/** Throws DirectoryLocked when another agent works on `hostDir`. */
export async function openStateDirectory(hostDir: string): Promise<StateDirectory> {
  await mkdir(vmsPath(hostDir), { recursive: true });
  // QEMU's users pass through to their own directories; they can list nothing.
  await chmod(vmsPath(hostDir), 0o711);
  const lock = await open(join(hostDir, 'agent.lock'), constants.O_RDWR | constants.O_CREAT, 0o600);
  if (!(await tryLock(lock))) {
    await lock.close();
    throw new DirectoryLocked(`another agent works on ${hostDir}`);
  }
  const file = join(hostDir, 'agent.json');
  const epoch = (await lastEpoch(file)) + 1;
  await writeWhole(file, `${JSON.stringify({ epoch })}\n`);
  return { epoch, bootId: await bootId(), release: () => lock.close() };
}

/** flock(2) belongs to the open file, which this process shares with the child that takes it and then ends. */
function tryLock(file: FileHandle): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['--exclusive', '--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', file.fd] });
    child.once('error', reject);
    child.once('exit', (code) => resolve(code === 0));
  });
}

async function lastEpoch(file: string): Promise<number> {
  try {
    return AgentFile.parse(JSON.parse(await readFile(file, 'utf8'))).epoch;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw new Error(`${file} cannot be read; it holds the number of the agent's last start, which must only rise`, { cause: error });
  }
}

async function bootId(): Promise<string> {
  const [boot, namespace] = await Promise.all([readFile('/proc/sys/kernel/random/boot_id', 'utf8'), readlink('/proc/self/ns/net')]);
  return `${boot.trim()}/${namespace.replace(/\D/g, '')}`;
}

// Runs qemu-img: always with explicit formats, a deadline, and ending with the agent, so that no copy is left behind that
// nobody knows of.
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { VolumePlace } from '#contracts';
import { CommandCancelled } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { VolumeWork } from '../drivers.ts';
import { reasonOf, runCommand, succeeded } from '../run-command.ts';
import type { CommandOutcome } from '../run-command.ts';
import { checkSpace, failedBecause, lookAt, statOf } from './datastore.driver.ts';
import { percentOf, volumePath } from './places.ts';

const quickDeadlineMs = 20_000;
const copyDeadlineMs = 24 * 3600_000;
const withUs = ['setpriv', '--pdeathsig', 'KILL', '--'];

/** Options of every qcow2 that is made here: reference counts are written late, and rebuilt after a crash. */
const qcow2Options = 'compat=1.1,lazy_refcounts=on';
export const outputOptions = (format: string): string[] => (format === 'qcow2' ? ['-o', qcow2Options] : []);

/** An outcome as a Result: cancelled, out of space and everything else are different news for the caller. */
export async function judged(argv: readonly string[], outcome: CommandOutcome, place: VolumePlace): Promise<Result<string>> {
  if (succeeded(outcome)) return ok(outcome.stdout);
  if (outcome.ended === 'aborted') return CommandCancelled.fail('cancelled');
  const space = await lookAt(place.datastorePath);
  if (/No space left|Disk quota exceeded/.test(outcome.stderr) && space.ok) {
    const full = checkSpace(place.datastoreId, space.value, space.value.freeBytes + 1);
    if (!full.ok) return full;
  }
  return failedBecause(reasonOf(argv, outcome));
}

async function quick(args: readonly string[], place: VolumePlace, work: VolumeWork): Promise<Result<string>> {
  const argv = ['qemu-img', ...args];
  return judged(argv, await runCommand([...withUs, ...argv], { deadlineMs: quickDeadlineMs, signal: work.signal }), place);
}

/** A backing file is not opened (`-u`): its chain has been read before, and opening it costs as much as all the rest. */
export const createImage = (file: string, place: VolumePlace, sizeBytes: number, backing: { reference: string; format: string } | null, work: VolumeWork): Promise<Result<string>> =>
  quick(['create', '-q', '-f', place.format, ...outputOptions(place.format), ...(backing === null ? [] : ['-u', '-b', backing.reference, '-F', backing.format]), file, String(sizeBytes)], place, work);

export const growImage = (file: string, place: VolumePlace, sizeBytes: number, work: VolumeWork): Promise<Result<string>> =>
  quick(['resize', '-q', '-f', place.format, file, String(sizeBytes)], place, work);

const Measure = z.object({ required: z.number() });
/** Bytes that a full copy will take. */
export async function measureCopy(from: VolumePlace, to: VolumePlace, work: VolumeWork): Promise<Result<number>> {
  const text = await quick(['measure', '--output=json', '-f', from.format, '-O', to.format, volumePath(from)], from, work);
  return text.ok ? ok(Measure.parse(JSON.parse(text.value)).required) : text;
}

export interface Conversion { readonly from: VolumePlace; readonly to: VolumePlace; readonly draft: string; readonly totalBytes: number }

/** Copies all data into `draft`. Past the page cache where the file systems can, so that a copy does not push out the guests' data. */
export async function convert({ from, to, draft, totalBytes }: Conversion, work: VolumeWork): Promise<Result<string>> {
  const direct = { source: await directIoWorks(volumePath(from)), target: await directIoWorks(draft) };
  const argv = [
    'qemu-img', 'convert', '-p', '-f', from.format, '-O', to.format, ...outputOptions(to.format), '-W', '-m', '16',
    '-T', direct.source ? 'none' : 'writeback', '-t', direct.target ? 'none' : 'writeback', volumePath(from), draft,
  ];
  return judged(argv, await runCommand([...withUs, ...argv], { deadlineMs: copyDeadlineMs, signal: work.signal, onStdout: progressTo(work, totalBytes) }), to);
}

/** Turns what `-p` prints into bytes, each step once. */
export function progressTo(work: VolumeWork, totalBytes: number): (text: string) => void {
  let last = -1;
  return (text) => {
    const percent = percentOf(text);
    if (percent === null || percent <= last) return;
    last = percent;
    work.onProgress({ doneBytes: Math.floor((totalBytes * percent) / 100), totalBytes });
  };
}

async function directIoWorks(file: string): Promise<boolean> {
  try {
    await (await open(file, constants.O_RDONLY | constants.O_DIRECT | constants.O_NOFOLLOW)).close();
    return true;
  } catch {
    return false; // tmpfs and some network file systems; the copy itself will say if the file is not readable at all
  }
}

/**
 * Whether a process on this host has the image open: QEMU holds open-file-description locks from byte 100 on. On a shared
 * datastore another host's use is not seen here; the VM's lease guards that.
 */
export async function isInUse(file: string): Promise<boolean> {
  const stat = await statOf(file);
  if (stat === null) return false;
  // The device is not compared: btrfs shows another there than in a file's status, and a needless "in use" can be retried.
  const inode = `:${stat.ino}`;
  return (await readFile('/proc/locks', 'utf8')).split('\n').some((line) => {
    const fields = line.trim().split(/\s+/);
    return fields[1] === 'OFDLCK' && fields[5]?.endsWith(inode) === true && Number(fields[6]) >= 100;
  });
}

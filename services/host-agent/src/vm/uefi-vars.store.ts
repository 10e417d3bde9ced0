// The UEFI variables of a VM on their volume: begun once, from what the firmware brings or from what an older agent has kept on this
// host, and from then on QEMU's alone. The header is written last: as long as it is nought, nothing was begun.
import { constants } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { QemuFailed } from '#contracts';
import type { HostVmSpec } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { Qemu } from '../environment.ts';
import { errorCode } from '../error-code.ts';
import { writeAll } from '../journal/journal.store.ts';
import { headerBytes, kindOfVars, mostBytes, offsetOf } from './uefi-vars.ts';
import type { UefiFirmware, VarsKind } from './uefi-vars.ts';

/** What QEMU takes for its flash: so many bytes of the file from there on. */
export interface UefiFlash { readonly path: string; readonly offset: number; readonly size: number }

interface Found extends UefiFlash {
  readonly firmware: UefiFirmware;
  /** The variables that come with the firmware of this host. */
  readonly template: string;
}

/** Null = a BIOS, or something is missing: the command line says what. */
export async function flashOf({ firmware, uefiVars: place }: HostVmSpec, { uefiVars, secureBoot }: Qemu): Promise<Found | null> {
  const template = firmware === 'uefi-secure' ? secureBoot?.vars : uefiVars;
  if (firmware === 'bios' || place === null || template === undefined) return null;
  return { path: join(place.datastorePath, place.relativePath), offset: offsetOf(firmware), size: (await stat(template)).size, firmware, template };
}

/** Sees to it that there are variables that a QEMU of this host can use. `kept` = where older agents kept the VM's, by firmware. */
export async function beginVars({ path, offset, size, firmware, template }: Found, kept: Readonly<Record<UefiFirmware, string>>): Promise<Result<void>> {
  if (size > mostBytes) return QemuFailed.fail('The firmware of this host has more variables than there is room for.', { reason: `${template} has ${size} bytes` });
  const file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    const kind = await kindAt(file, offset);
    if (kind === 'damaged') return QemuFailed.fail('The UEFI variables of the VM are damaged.', { reason: `${path} holds no variables at ${offset}` });
    if (kind === 'new') await write(file, offset, (await keptBefore(kept[firmware], size)) ?? (await readFile(template)));
    else if (kind !== size) return QemuFailed.fail('The UEFI variables of the VM were written by a firmware of another size; this host’s cannot use them.', { reason: `${kind} bytes, and the firmware here has ${size}` });
    return ok(undefined);
  } finally {
    await file.close();
  }
}

async function kindAt(file: FileHandle, offset: number): Promise<VarsKind> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, offset);
  return kindOfVars(buffer.subarray(0, bytesRead));
}

/** What is of another size, or no variables at all, is left where it lies; the directory has been the VM user's, who may have put anything there. */
async function keptBefore(path: string, size: number): Promise<Buffer | undefined> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ELOOP') return undefined;
    throw error;
  });
  if (file === undefined) return undefined;
  try {
    const there = await file.stat();
    if (!there.isFile() || there.size !== size) return undefined;
    const found = await file.readFile();
    return kindOfVars(found.subarray(0, headerBytes)) === size ? found : undefined;
  } finally {
    await file.close();
  }
}

async function write(file: FileHandle, offset: number, vars: Buffer): Promise<void> {
  await writeAll(file, vars.subarray(headerBytes), offset + headerBytes);
  await file.datasync();
  await writeAll(file, vars.subarray(0, headerBytes), offset);
  await file.datasync();
}

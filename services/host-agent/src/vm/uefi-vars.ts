// Where in the volume of a VM's UEFI variables each kind of firmware keeps its own, and what the beginning of such variables says.
// They are a firmware volume as the UEFI Platform Initialization Specification has it (Vol. 3, EFI_FIRMWARE_VOLUME_HEADER). Pure.
import type { Firmware } from '#contracts';
import type { z } from 'zod';

export type UefiFirmware = Exclude<z.output<typeof Firmware>, 'bios'>;

const MiB = 1024 * 1024;
/** A change between them and back loses none: keys are enrolled in those for secure boot. */
const places: Readonly<Record<UefiFirmware, number>> = { uefi: 0, 'uefi-secure': MiB };

export const offsetOf = (firmware: UefiFirmware): number => places[firmware];
/** More than any firmware's variables have. */
export const mostBytes = MiB;

export const headerBytes = 64;
const lengthAt = 32;
const signatureAt = 40;
const signature = '_FVH';

/** `new` = nothing was ever written here; otherwise how large the variables are, bytes. */
export type VarsKind = 'new' | 'damaged' | number;

export function kindOfVars(header: Buffer): VarsKind {
  if (header.length < headerBytes) return 'damaged';
  if (header.toString('latin1', signatureAt, signatureAt + signature.length) === signature) return Number(header.readBigUInt64LE(lengthAt));
  return header.every((byte) => byte === 0) ? 'new' : 'damaged';
}

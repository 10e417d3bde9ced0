// What the beginning of a TPM's state volume says. Pure. swtpm makes a new TPM of whatever it does not recognise, and with
// it the guest's keys are gone: what is neither new nor a state is therefore never given to it.

/** swtpm's `SWTPM_NVSTORE_LINEAR_MAGIC`, little-endian, at the beginning of a linear state. */
const magic = Buffer.from('nilmptws', 'latin1');
/** Its header; a volume that was just made is larger and holds zeros alone. */
export const headerBytes = 192;

export type TpmStateKind = 'new' | 'state' | 'damaged';

export function kindOfState(header: Buffer): TpmStateKind {
  if (header.length < headerBytes) return 'damaged';
  if (header.subarray(0, magic.length).equals(magic)) return 'state';
  return header.every((byte) => byte === 0) ? 'new' : 'damaged';
}

// A variable in the store of UEFI variables, as a guest would have set it: `VARIABLE_STORE_HEADER` and `AUTHENTICATED_VARIABLE_HEADER`
// of EDK II's MdeModulePkg (Include/Guid/VariableFormat.h). The firmware keeps what it finds there.

const headerLengthAt = 48; // of EFI_FIRMWARE_VOLUME_HEADER
const storeHeaderBytes = 28;
const variableHeaderBytes = 60;
const startId = 0x55aa;
const added = 0x3f;
const everywhere = 0b111; // non-volatile, at boot and at run time
const aligned = (at: number): number => (at + 3) & ~3;

/** The variables with one more, of a vendor of the tests'. */
export function withVariable(vars: Buffer, name: string): Buffer {
  const found = Buffer.from(vars);
  let at = aligned(found.readUInt16LE(headerLengthAt) + storeHeaderBytes);
  while (found.readUInt16LE(at) === startId) at = aligned(at + variableHeaderBytes + found.readUInt32LE(at + 36) + found.readUInt32LE(at + 40));
  const text = Buffer.from(`${name}\0`, 'utf16le');
  found.fill(0, at, at + variableHeaderBytes);
  found.writeUInt16LE(startId, at);
  found.writeUInt8(added, at + 2);
  found.writeUInt32LE(everywhere, at + 4);
  found.writeUInt32LE(text.length, at + 36);
  found.writeUInt32LE(1, at + 40);
  found.fill(0x77, at + 44, at + variableHeaderBytes); // the vendor
  text.copy(found, at + variableHeaderBytes);
  found.writeUInt8(1, at + variableHeaderBytes + text.length);
  return found;
}

export const hasVariable = (vars: Buffer, name: string): boolean => vars.includes(Buffer.from(`${name}\0`, 'utf16le'));

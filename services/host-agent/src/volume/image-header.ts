// Reads the first bytes of a disk image without QEMU and says what it is, or why it is not accepted. Follows
// "Qcow2 Image File Format" (docs/interop/qcow2.txt of QEMU). An upload that passes refers to no other file.
import { z } from 'zod';

/** How much of the file is looked at; header and extensions of every sane image lie in it. */
export const headerBytes = 64 * 1024;

export interface Qcow2Header {
  readonly version: 2 | 3;
  readonly virtualBytes: number;
  readonly clusterBits: number;
  readonly backingFile: string | null;
  readonly backingFormat: string | null;
  readonly l1Entries: number;
  readonly snapshots: number;
  readonly encrypted: boolean;
  readonly corrupt: boolean;
  readonly externalData: boolean;
  readonly unknownIncompatible: boolean;
  readonly tablesInside: boolean;
}
export type Parsed<T> = { readonly header: T } | { readonly reason: string };

const magic = 'QFI\xfb';
const bit = { dirty: 1n, corrupt: 2n, externalData: 4n, compression: 8n, extendedL2: 16n } as const;
const known = Object.values(bit).reduce((all, one) => all | one, 0n);
const extension = { end: 0, backingFormat: 0xe2792aca, externalData: 0x44415441, encryption: 0x0537be77 } as const;

/** Beginnings of files that are not raw disks; a boot sector never begins so. */
const otherFormats: readonly (readonly [start: string, name: string])[] = [
  [magic, 'qcow2'], ['KDMV', 'VMDK'], ['# Disk DescriptorFile', 'VMDK'], ['COWD', 'VMDK'], ['vhdxfile', 'VHDX'], ['conectix', 'VHD'], ['<<< ', 'VDI'], ['QED\0', 'QED'],
  ['LUKS\xba\xbe', 'LUKS'], ['\x1f\x8b', 'gzip'], ['\xfd7zXZ\0', 'xz'], ['BZh', 'bzip2'], ['\x28\xb5\x2f\xfd', 'zstd'], ['PK\x03\x04', 'zip'], ['json:', 'a block device description'],
];

const beginsWith = (bytes: Buffer, start: string): boolean => bytes.subarray(0, start.length).equals(Buffer.from(start, 'latin1'));

/** A raw disk has no header; this only recognises what is clearly something else. */
export function whyNotRaw(bytes: Buffer): string | null {
  const other = otherFormats.find(([start]) => beginsWith(bytes, start));
  return other === undefined ? null : `declared as raw, but the content is ${other[1]}`;
}

export function parseQcow2(bytes: Buffer, fileBytes: number): Parsed<Qcow2Header> {
  if (bytes.length < 72 || !beginsWith(bytes, magic)) return { reason: 'not a qcow2 image' };
  const version = bytes.readUInt32BE(4);
  if (version !== 2 && version !== 3) return { reason: `qcow2 version ${version} is not known` };
  if (version === 3 && bytes.length < 104) return { reason: 'the header is cut off' };
  const clusterBits = bytes.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) return { reason: `cluster size 2^${clusterBits} is outside 512 bytes to 2 MiB` };
  const headerLength = version === 2 ? 72 : bytes.readUInt32BE(100);
  if (headerLength < (version === 2 ? 72 : 104) || headerLength > 2 ** clusterBits || headerLength % 8 !== 0) return { reason: 'the header length is impossible' };

  const incompatible = version === 2 ? 0n : bytes.readBigUInt64BE(72);
  if ((incompatible & bit.compression) !== 0n && (headerLength < 112 || bytes.length < 112 || (bytes[104] ?? 0) > 1)) return { reason: 'the compression type is not known' };
  const extensions = readExtensions(bytes, headerLength);
  if ('reason' in extensions) return extensions;
  const backing = readBackingFile(bytes, 2 ** clusterBits);
  if ('reason' in backing) return backing;
  const size = bytes.readBigUInt64BE(24);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) return { reason: 'the virtual size is absurd' };

  const l1Entries = bytes.readUInt32BE(36);
  const entrySize = (incompatible & bit.extendedL2) !== 0n ? 16 : 8;
  const bytesPerL2 = (2 ** clusterBits / entrySize) * 2 ** clusterBits;
  const tables: readonly (readonly [offset: bigint, bytes: number])[] = [
    [bytes.readBigUInt64BE(40), l1Entries * 8],
    [bytes.readBigUInt64BE(48), bytes.readUInt32BE(56) * 2 ** clusterBits],
  ];
  return {
    header: {
      version, virtualBytes: Number(size), clusterBits, l1Entries,
      backingFile: backing.header, backingFormat: extensions.header.backingFormat,
      snapshots: bytes.readUInt32BE(60),
      encrypted: bytes.readUInt32BE(32) !== 0 || extensions.header.encryption,
      corrupt: (incompatible & bit.corrupt) !== 0n,
      externalData: (incompatible & bit.externalData) !== 0n || extensions.header.externalData,
      unknownIncompatible: (incompatible & ~known) !== 0n,
      tablesInside: l1Entries * bytesPerL2 >= Number(size) && tables.every(([offset, length]) => offset % BigInt(2 ** clusterBits) === 0n && offset + BigInt(length) <= BigInt(roundUp(fileBytes, 2 ** clusterBits))),
    },
  };
}

const roundUp = (value: number, step: number): number => Math.ceil(value / step) * step;

function readExtensions(bytes: Buffer, start: number): Parsed<{ backingFormat: string | null; externalData: boolean; encryption: boolean }> {
  const found = { backingFormat: null as string | null, externalData: false, encryption: false };
  for (let offset = start; offset + 8 <= bytes.length;) {
    const type = bytes.readUInt32BE(offset);
    const length = bytes.readUInt32BE(offset + 4);
    if (type === extension.end) return { header: found };
    if (offset + 8 + length > bytes.length) return { reason: 'a header extension is cut off' };
    if (type === extension.backingFormat) found.backingFormat = bytes.toString('latin1', offset + 8, offset + 8 + length);
    if (type === extension.externalData) found.externalData = true;
    if (type === extension.encryption) found.encryption = true;
    offset += 8 + roundUp(length, 8);
  }
  return { reason: 'the header extensions do not end' };
}

function readBackingFile(bytes: Buffer, clusterBytes: number): Parsed<string | null> {
  const offset = bytes.readBigUInt64BE(8);
  const length = bytes.readUInt32BE(16);
  if (offset === 0n && length === 0) return { header: null };
  if (offset === 0n || length === 0) return offset === 0n ? { header: null } : { header: '' };
  if (length > 1023 || offset + BigInt(length) > BigInt(Math.min(bytes.length, clusterBytes))) return { reason: 'the name of the backing file is out of place' };
  return { header: bytes.toString('utf8', Number(offset), Number(offset) + length) };
}

/** Why an uploaded qcow2 is refused; null when it stands alone and is of a sane size. */
export function whyNotImportable(header: Qcow2Header, limits: { maxVirtualBytes: number }): string | null {
  const rules: readonly (readonly [refused: boolean, reason: string])[] = [
    [header.backingFile !== null, 'it has a backing file; upload a flattened image'],
    [header.externalData, 'its data lies in another file'],
    [header.unknownIncompatible, 'it uses features that are not known here'],
    [header.encrypted, 'it is encrypted'],
    [header.corrupt, 'it is marked as corrupt'],
    [header.snapshots > 0, 'it has internal snapshots; upload an image without'],
    [header.virtualBytes === 0, 'its virtual size is zero'],
    [header.virtualBytes > limits.maxVirtualBytes, `its virtual size of ${header.virtualBytes} bytes is over the limit of ${limits.maxVirtualBytes}`],
    [!header.tablesInside, 'its tables lie outside the file'],
  ];
  return rules.find(([refused]) => refused)?.[1] ?? null;
}

/** What QEMU itself says of an image; a second opinion beside our own reading. */
export const QemuImageInfo = z.object({
  format: z.string(), 'virtual-size': z.int(), 'actual-size': z.int(), 'backing-filename': z.string().optional(), encrypted: z.boolean().optional(),
  'format-specific': z.object({ data: z.object({ 'data-file': z.string().optional() }).optional() }).optional(),
});

// A bootable disk image from a kernel and an initramfs, without root and without mounting anything: one FAT partition
// with syslinux for BIOS and a unified kernel image for UEFI. The last 2 MiB stay free for the guest's counter.
import { mkdirSync, openSync, closeSync, ftruncateSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../lab.d/run.mjs';

const MIB = 1024 * 1024;
const SECTOR = 512;
const PARTITION_START = MIB;
const TAIL = 2 * MIB;
const MBR_CODE = '/usr/lib/syslinux/mbr/mbr.bin';
const EFI_STUB = '/usr/lib/systemd/boot/efi/linuxx64.efi.stub';
const EFI_SYSTEM_PARTITION = 0xef;

/** Writes `image` (qcow2) of `size` bytes that boots `kernel` and `initramfs` (files) with `commandLine`. */
export async function buildDisk({ image, size, kernel, initramfs, commandLine, work }) {
  mkdirSync(work, { recursive: true });
  const raw = join(work, 'disk.raw');
  const partitionSize = size - PARTITION_START - TAIL;
  writePartitionTable(raw, size, partitionSize);

  const env = { ...process.env, MTOOLSRC: join(work, 'mtoolsrc') };
  writeFileSync(env.MTOOLSRC, `mtools_skip_check=1\ndrive c: file="${raw}" offset=${PARTITION_START}\n`);
  const tool = (...argv) => run(argv, { env });
  const sectors = partitionSize / SECTOR;
  await tool('mformat', '-v', 'GUEST', '-N', '544f4b41', '-T', String(sectors), '-h', '255', '-s', '63', '-H', String(PARTITION_START / SECTOR), 'c:');

  const boot = join(work, 'syslinux.cfg');
  writeFileSync(boot, `DEFAULT guest\nPROMPT 0\nLABEL guest\n KERNEL /kernel\n INITRD /initramfs\n APPEND ${commandLine}\n`);
  await tool('mcopy', kernel, 'c:/kernel');
  await tool('mcopy', initramfs, 'c:/initramfs');
  await tool('mcopy', boot, 'c:/syslinux.cfg');
  await run(['syslinux', '--install', '--offset', String(PARTITION_START), raw]);

  const unified = await unifiedKernel({ kernel, initramfs, commandLine, work });
  await tool('mmd', 'c:/EFI', 'c:/EFI/BOOT');
  await tool('mcopy', unified, 'c:/EFI/BOOT/BOOTX64.EFI');
  await run(['qemu-img', 'convert', '-O', 'qcow2', '-c', raw, image]);
  rmSync(work, { recursive: true, force: true });
}

/** A DOS partition table with one bootable partition; UEFI finds it by its type, BIOS by its flag. */
function writePartitionTable(raw, size, partitionSize) {
  const sector = Buffer.alloc(SECTOR);
  readFileSync(MBR_CODE).copy(sector, 0, 0, 440);
  const entry = sector.subarray(446, 462);
  entry[0] = 0x80;
  entry.fill(0xff, 1, 4); // start and end in cylinders: "see the sector numbers"
  entry[4] = EFI_SYSTEM_PARTITION;
  entry.fill(0xff, 5, 8);
  entry.writeUInt32LE(PARTITION_START / SECTOR, 8);
  entry.writeUInt32LE(partitionSize / SECTOR, 12);
  sector.writeUInt16LE(0xaa55, 510);
  const fd = openSync(raw, 'w');
  try {
    ftruncateSync(fd, size);
    writeSync(fd, sector, 0, SECTOR, 0);
  } finally {
    closeSync(fd);
  }
}

/** Kernel, initramfs and command line as sections of one EFI program (the UAPI group's unified kernel image). */
async function unifiedKernel({ kernel, initramfs, commandLine, work }) {
  const at = (name) => join(work, name);
  writeFileSync(at('cmdline'), commandLine);
  writeFileSync(at('osrel'), 'NAME=guest\nID=guest\nVERSION_ID=1\n');
  const sections = [
    ['.osrel', at('osrel'), 0x20000], ['.cmdline', at('cmdline'), 0x30000], ['.linux', kernel, 0x2000000], ['.initrd', initramfs, 0x3000000],
  ];
  const options = sections.flatMap(([name, path, address]) => ['--add-section', `${name}=${path}`, '--change-section-vma', `${name}=0x${address.toString(16)}`]);
  await run(['objcopy', ...options, EFI_STUB, at('unified.efi')]);
  return at('unified.efi');
}

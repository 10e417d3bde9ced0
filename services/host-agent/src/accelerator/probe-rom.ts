// The smallest guest that proves an accelerator: a 64 KiB firmware image that enters long mode, uses cmpxchg16b and SSE,
// counts to five million and says so on port 0xf4. An accelerator that only opens, or only runs a boot sector, fails it.

/** Size of the image; QEMU maps it so that its last byte is at 4 GiB - 1, with a copy that ends at 1 MiB. */
const romBytes = 0x10000;
/** Where the code lies in the image: linear address 0xff000 in the copy below 1 MiB. */
const codeOffset = 0xf000;
/** Where every x86 processor begins. */
const resetOffset = 0xfff0;

/** What the guest writes to port 0xf4 when all was right; isa-debug-exit turns n into exit status 2n+1. */
export const goodExitStatus = (0x10 << 1) | 1;
/** A calculation came out wrong. */
export const badExitStatus = (0x20 << 1) | 1;

/** Offset within the code, bytes, meaning (AT&T syntax). */
type Line = readonly [offset: number, bytes: string, meaning: string];

export const program: readonly Line[] = [
  // 16-bit real mode
  [0x00, 'fa', 'cli'],
  [0x01, '2e 66 0f 01 16 00 f1', 'lgdtl %cs:gdtr'],
  [0x08, '0f 20 c0', 'mov %cr0, %eax'],
  [0x0b, '0c 01', 'or $PE, %al'],
  [0x0d, '0f 22 c0', 'mov %eax, %cr0'],
  [0x10, '66 ea 18 f0 0f 00 08 00', 'ljmpl $0x08, $protected'],
  // protected: 32-bit, flat
  [0x18, 'b8 10 00 00 00', 'mov $0x10, %eax'],
  [0x1d, '8e d8 8e c0 8e d0', 'mov %eax, %ds; %es; %ss'],
  [0x23, 'bf 00 10 00 00', 'mov $0x1000, %edi'],
  [0x28, 'b9 00 0c 00 00', 'mov $3072, %ecx'],
  [0x2d, '31 c0 fc f3 ab', 'three pages of zeros'],
  [0x32, 'c7 05 00 10 00 00 03 20 00 00', 'page map level 4: entry 0 = table at 0x2000'],
  [0x3c, 'c7 05 00 20 00 00 03 30 00 00', 'page directory pointers: entry 0 = directory at 0x3000'],
  [0x46, 'c7 05 00 30 00 00 83 00 00 00', 'page directory: entry 0 = the first 2 MiB as they are'],
  [0x50, 'b8 00 10 00 00 0f 22 d8', 'mov $0x1000, %cr3'],
  [0x58, '0f 20 e0 0d 20 06 00 00 0f 22 e0', 'or $(PAE|OSFXSR|OSXMMEXCPT), %cr4'],
  [0x63, 'b9 80 00 00 c0 0f 32', 'rdmsr EFER'],
  [0x6a, '0d 00 01 00 00 0f 30', 'wrmsr EFER | LME'],
  [0x71, '0f 20 c0 83 e0 fb 0d 02 00 00 80 0f 22 c0', 'cr0: no EM; MP and PG: paging on'],
  [0x7f, 'ea 86 f0 0f 00 18 00', 'ljmp $0x18, $long'],
  // long: 64-bit
  [0x86, '31 c0 8e d0', 'mov $0, %ss'],
  [0x8a, 'bf 00 50 00 00', 'mov $0x5000, %edi'],
  [0x8f, '48 89 07 48 89 47 08', 'sixteen bytes of zeros at (%rdi)'],
  [0x96, '31 d2', 'expected value, high half: 0 (low half is in %rax)'],
  [0x98, 'bb 01 00 00 00', 'new value, low half: 1'],
  [0x9d, 'b9 02 00 00 00', 'new value, high half: 2'],
  [0xa2, 'f0 48 0f c7 0f', 'lock cmpxchg16b (%rdi)'],
  [0xa7, '75 30', 'jnz bad'],
  [0xa9, '0f 10 07', 'movups (%rdi), %xmm0'],
  [0xac, '66 0f ef c9 66 0f eb c8', 'pxor, por: %xmm1 = %xmm0'],
  [0xb4, '0f 11 4f 10', 'movups %xmm1, 16(%rdi)'],
  [0xb8, '48 8b 47 10 48 83 f8 01 75 17', 'low half must be 1, else bad'],
  [0xc2, '48 8b 47 18 48 83 f8 02 75 0d', 'high half must be 2, else bad'],
  [0xcc, 'b9 40 4b 4c 00', 'mov $5000000, %ecx'],
  [0xd1, 'ff c9 75 fc', 'spin: dec %ecx; jnz spin'],
  [0xd5, 'b0 10 eb 02', 'good: mov $0x10, %al; jmp say'],
  [0xd9, 'b0 20', 'bad: mov $0x20, %al'],
  [0xdb, 'e6 f4', 'say: out %al, $0xf4'],
  [0xdd, 'f4 eb fd', 'hlt for ever'],
  // descriptors
  [0xe0, '00 00 00 00 00 00 00 00', 'gdt: null'],
  [0xe8, 'ff ff 00 00 00 9b cf 00', '0x08: 32-bit code, 4 GiB'],
  [0xf0, 'ff ff 00 00 00 93 cf 00', '0x10: data, 4 GiB'],
  [0xf8, 'ff ff 00 00 00 9b af 00', '0x18: 64-bit code'],
  [0x100, '1f 00 e0 f0 0f 00', 'gdtr: limit 31, base 0xff0e0'],
];

/** `ljmp $0xf000, $0xf000`: from the reset vector to the program. */
const reset = 'ea 00 f0 00 f0';

const bytesOf = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');

export function probeRom(): Buffer {
  const rom = Buffer.alloc(romBytes, 0xff);
  for (const [offset, bytes] of program) bytesOf(bytes).copy(rom, codeOffset + offset);
  // Between code and descriptors nothing is executed.
  bytesOf(reset).copy(rom, resetOffset);
  return rom;
}

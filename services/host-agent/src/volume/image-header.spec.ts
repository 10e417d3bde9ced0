import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { parseQcow2, whyNotImportable, whyNotRaw } from './image-header.ts';

/** A version 3 header of a 64 MiB image with 64 KiB clusters, as qemu-img writes it. */
function header(): Buffer {
  const bytes = Buffer.alloc(65_536);
  bytes.write('QFI\xfb', 'latin1');
  bytes.writeUInt32BE(3, 4);
  bytes.writeUInt32BE(16, 20);
  bytes.writeBigUInt64BE(64n * 1024n * 1024n, 24);
  bytes.writeUInt32BE(1, 36);
  bytes.writeBigUInt64BE(0x30000n, 40);
  bytes.writeBigUInt64BE(0x10000n, 48);
  bytes.writeUInt32BE(1, 56);
  bytes.writeUInt32BE(112, 100);
  return bytes;
}
const fileBytes = 0x40000;
const limits = { maxVirtualBytes: 1024 ** 3 };

function verdict(bytes: Buffer): string | null {
  const parsed = parseQcow2(bytes, fileBytes);
  return 'reason' in parsed ? parsed.reason : whyNotImportable(parsed.header, limits);
}

describe('an image header', () => {
  it('of an honest image is accepted', () => {
    expect(verdict(header())).toBeNull();
  });

  it.each<readonly [string, (bytes: Buffer) => void]>([
    ['backing file', (bytes) => { bytes.writeBigUInt64BE(200n, 8); bytes.writeUInt32BE(11, 16); bytes.write('/etc/passwd', 200); }],
    ['backing file with length zero', (bytes) => { bytes.writeBigUInt64BE(200n, 8); }],
    ['external data bit', (bytes) => { bytes.writeBigUInt64BE(4n, 72); }],
    ['external data name', (bytes) => { bytes.writeUInt32BE(0x44415441, 112); bytes.writeUInt32BE(8, 116); }],
    ['unknown bit', (bytes) => { bytes.writeBigUInt64BE(1n << 63n, 72); }],
    ['endless extension', (bytes) => { bytes.writeUInt32BE(1, 112); bytes.writeUInt32BE(0xffffffff, 116); }],
    ['cluster bits', (bytes) => { bytes.writeUInt32BE(31, 20); }],
    ['absurd size', (bytes) => { bytes.writeBigUInt64BE(1n << 63n, 24); }],
    ['size over the limit', (bytes) => { bytes.writeBigUInt64BE(63n << 40n, 24); }],
    ['too few table entries for its size', (bytes) => { bytes.writeUInt32BE(0, 36); }],
    ['table outside', (bytes) => { bytes.writeBigUInt64BE(0x40000n, 40); }],
    ['table of gigabytes', (bytes) => { bytes.writeUInt32BE(0x7fffffff, 36); }],
    ['snapshots', (bytes) => { bytes.writeUInt32BE(1, 60); }],
    ['encryption', (bytes) => { bytes.writeUInt32BE(2, 32); }],
    ['compression type', (bytes) => { bytes.writeBigUInt64BE(8n, 72); bytes[104] = 7; }],
    ['header length', (bytes) => { bytes.writeUInt32BE(0xfffffff8, 100); }],
  ])('with a wrong %s is refused', (_name, bend) => {
    const bytes = header();
    bend(bytes);
    expect(verdict(bytes)).toEqual(expect.any(String));
  });

  it('of any bytes gets an answer, never an exception', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(), (noise, at) => {
      const bytes = header();
      Buffer.from(noise).copy(bytes, at % 300);
      expect([null, 'string']).toContain(verdict(bytes) === null ? null : 'string');
      verdict(Buffer.from(noise));
      verdict(bytes.subarray(0, at % 300));
    }), { numRuns: 2_000 });
  });

  it('that passes refers to no other file', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat({ max: 200 }), fc.integer({ min: 0, max: 255 })), { maxLength: 12 }), (changes) => {
      const bytes = header();
      for (const [at, value] of changes) bytes[at] = value;
      fc.pre(verdict(bytes) === null);
      expect(bytes.readBigUInt64BE(8)).toBe(0n);
      expect(bytes.readUInt32BE(4) === 3 ? bytes.readBigUInt64BE(72) & 4n : 0n).toBe(0n);
    }), { numRuns: 2_000 });
  });

  it('of other formats is recognised in what is declared as raw', () => {
    expect(whyNotRaw(Buffer.from('KDMV....'))).toContain('VMDK');
    expect(whyNotRaw(Buffer.from('json:{"driver":"file"}'))).not.toBeNull();
    expect(whyNotRaw(Buffer.from([0xeb, 0x63, 0x90]))).toBeNull();
  });
});

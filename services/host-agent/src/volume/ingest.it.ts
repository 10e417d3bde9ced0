// Images from strangers: an honest one becomes a read-only volume, a hostile one is refused and leaves nothing.
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { createHash, randomBytes } from 'node:crypto';
import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { InputOf, hostVolumeIngest } from '#contracts';
import { orThrow } from '#kernel';
import type { VolumeDriver } from '../drivers.ts';
import { createVolumeDriver } from './volume.driver.ts';
import { MiB, TestDatastore, qcow2Bytes, qemuIo, withTextFile, work } from './volume.testing.ts';

jest.setTimeout(60_000);
let driver: VolumeDriver;
let store: TestDatastore;
beforeEach(async () => {
  driver = createVolumeDriver({ templateGid: 199_999 });
  store = await TestDatastore.make(driver);
});
afterEach(() => store.remove());

type Input = InputOf<typeof hostVolumeIngest>;
async function uploaded(bytes: Buffer, change: Partial<Input> = {}): Promise<Input> {
  const uploadId = await store.upload(driver, bytes);
  return { commandId: 'ingest', uploadId, datastorePath: store.path, format: 'qcow2', sizeBytes: bytes.length, sha256: null, to: store.place('images'), maxVirtualBytes: 1024 * MiB, ...change };
}
const names = async (): Promise<string[]> => (await Promise.all(['.staging', 'images', 'volumes'].map((directory) => readdir(join(store.path, directory))))).flat();

describe('an honest image', () => {
  it('becomes a read-only volume for the template group', async () => {
    const content = randomBytes(3 * MiB);
    const input = await uploaded(content, { format: 'raw' });
    const watch = work();
    const reply = orThrow(await driver.ingest(input, watch));
    expect(reply).toMatchObject({ virtualBytes: 3 * MiB, sha256: createHash('sha256').update(content).digest('hex') });
    expect(watch.progress.at(-1)).toEqual({ doneBytes: 3 * MiB, totalBytes: 3 * MiB });
    const file = await stat(store.file(input.to));
    expect([file.uid, file.gid, file.mode & 0o777]).toEqual([0, 199_999, 0o440]);
    expect(await readdir(join(store.path, '.staging'))).toEqual([]);
    expect(await driver.effectOf('volume.ingest', input)).toBe('done');
    expect(orThrow(await driver.ingest(input, work()))).toEqual(reply);
    orThrow(await driver.delete({ commandId: 'd', place: input.to }, work()));
    expect(await names()).toEqual([]);
  });

  it('in qcow2 keeps its content', async () => {
    const image = await store.image(store.place(), 64 * MiB, 2 * MiB, '5a');
    const bytes = await readFile(store.file(image));
    const input = await uploaded(bytes, { sha256: createHash('sha256').update(bytes).digest('hex') });
    expect(orThrow(await driver.ingest(input, work())).virtualBytes).toBe(64 * MiB);
    expect(await qemuIo('qcow2', store.file(input.to), 'read -r -P 0x5a 0 2M').catch(() => qemuIo('qcow2', store.file(input.to), 'read -P 0x5a 0 2M'))).not.toContain('failed');
  });

  it('whose ingest stopped half-way is taken in the second time', async () => {
    const input = await uploaded(await qcow2Bytes(8 * MiB));
    const stopped = work();
    stopped.controller.abort();
    expect(await driver.ingest(input, stopped)).toMatchObject({ ok: false, fault: { code: 'COMMAND_CANCELLED' } });
    expect(await driver.effectOf('volume.ingest', input)).toBe('partial');
    expect(await driver.uploadWrite({ uploadId: input.uploadId, datastorePath: store.path, offset: 0, data: 'AAAA' }, work())).toMatchObject({ ok: false });
    orThrow(await driver.ingest(input, work()));
    expect(await readdir(join(store.path, '.staging'))).toEqual([]);
  });
});

describe('a hostile image', () => {
  const marker = 'TOP-SECRET-MARKER-4711';
  const incompatible = (bytes: Buffer, bits: number): Buffer => { bytes.writeBigUInt64BE(bytes.readBigUInt64BE(72) | BigInt(bits), 72); return bytes; };
  /** Points every second-level table entry at one cluster: little file, much disk. */
  async function bomb(): Promise<Buffer> {
    const image = await store.image(store.place(), 4096 * MiB, 64 * 1024);
    const bytes = await readFile(store.file(image));
    const l1 = Number(bytes.readBigUInt64BE(40));
    const l2 = Number(bytes.readBigUInt64BE(l1) & 0x00fffffffffffe00n);
    const entry = bytes.readBigUInt64BE(l2);
    for (let at = 0; at < 8192; at += 1) bytes.writeBigUInt64BE(entry, l2 + at * 8);
    for (let at = 0; at < 8; at += 1) bytes.writeBigUInt64BE(bytes.readBigUInt64BE(l1), l1 + at * 8);
    orThrow(await driver.delete({ commandId: 'x', place: image }, work()));
    return bytes;
  }
  const cases: readonly (readonly [name: string, make: (victim: string) => Promise<Buffer>, change?: Partial<Input>])[] = [
    ['with a backing file', (victim) => qcow2Bytes(MiB, ['-b', victim, '-F', 'raw', '-u'])],
    ['with an external data file', (victim) => qcow2Bytes(MiB, ['-o', `data_file=${victim}.data,data_file_raw=on`])],
    ['with the external data bit set by hand', () => qcow2Bytes(MiB, [], (bytes) => incompatible(bytes, 4))],
    ['with an unknown incompatible bit', () => qcow2Bytes(MiB, [], (bytes) => incompatible(bytes, 1 << 20))],
    ['marked as corrupt', () => qcow2Bytes(MiB, [], (bytes) => incompatible(bytes, 2))],
    ['that claims 63 TiB', () => qcow2Bytes(63 * 1024 ** 4)],
    ['that unpacks to far more than it is', bomb, { maxVirtualBytes: 8192 * MiB }],
    ['of an unknown version', () => qcow2Bytes(MiB, [], (bytes) => { bytes.writeUInt32BE(9, 4); return bytes; })],
    ['whose tables lie outside', () => qcow2Bytes(MiB, [], (bytes) => { bytes.writeBigUInt64BE(1n << 40n, 40); return bytes; })],
    ['that is encrypted', () => qcow2Bytes(MiB, [], (bytes) => { bytes.writeUInt32BE(1, 32); return bytes; })],
    ['that is cut off', async () => (await qcow2Bytes(MiB)).subarray(0, 80)],
    ['that is empty', () => Promise.resolve(Buffer.alloc(0))],
    ['that is text with a JSON description', () => Promise.resolve(Buffer.from('json:{"driver":"nbd","host":"127.0.0.1"}')), { format: 'raw' }],
    ['declared as raw that is qcow2', () => qcow2Bytes(MiB), { format: 'raw' }],
    ['with another checksum than announced', () => qcow2Bytes(MiB), { sha256: '0'.repeat(64) }],
    ['shorter than announced', () => qcow2Bytes(MiB), { sizeBytes: 10 * MiB }],
  ];

  it.each(cases)('%s is refused and leaves nothing', async (_name, make, change = {}) => {
    await withTextFile(marker.repeat(50_000), async (victim) => {
      const input = await uploaded(await make(victim), change);
      expect(await driver.ingest(input, work())).toMatchObject({ ok: false, fault: { code: 'IMAGE_REFUSED' } });
      expect(await names()).toEqual([]);
      expect((await readFile(victim, 'utf8')).startsWith(marker)).toBe(true);
    });
  });
});

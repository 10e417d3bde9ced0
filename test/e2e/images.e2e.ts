// Images that mean harm: each is refused, with 422 or by its task, leaves no byte on the datastore, and what it points
// at is never read into the pool.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createImage, createTemplate, deleteImage, getImage, TaskRef } from '#contracts';
import type { Image } from '#contracts';
import { holdings } from './holdings.ts';
import type { Holdings } from './holdings.ts';
import { run } from './lab.mjs';
import { removeOwn } from './vms.ts';
import { MiB, openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let before: Holdings;
let dir: string;
const images: Image[] = [];
const marker = 'TOKAMAK-SECRET-MARKER-9f27c1';

beforeAll(async () => {
  world = await openWorld('image');
  before = await holdings(world);
  dir = await mkdtemp(join(tmpdir(), 'tok-images-'));
  await writeFile(join(dir, 'secret.raw'), marker.repeat(4096));
});
afterAll(async () => {
  await removeOwn(world);
  await rm(dir, { recursive: true, force: true });
});

const file = (name: string): string => join(dir, name);

async function qcow2(name: string, args: readonly string[] = [], size = '64M'): Promise<Uint8Array<ArrayBuffer>> {
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', ...args, file(name), size]);
  return bytesOf(file(name));
}
const bytesOf = async (path: string): Promise<Uint8Array<ArrayBuffer>> => new Uint8Array(await readFile(path));

/** Writes into the header at an offset. */
function patched(image: Uint8Array<ArrayBuffer>, change: (view: DataView) => void): Uint8Array<ArrayBuffer> {
  change(new DataView(image.buffer));
  return image;
}

/** Uploads; answers the refusing code, whether it came at once or from the task, or null when the image was taken. */
async function upload(name: string, bytes: Uint8Array<ArrayBuffer>, format: 'qcow2' | 'raw' = 'qcow2'): Promise<{ code: string | null; image: Image }> {
  const image = await world.rest.ask(createImage, { name: `${world.prefix}-${name}`, format });
  images.push(image);
  const sent = await world.rest.send('PUT', `/v1/images/${image.id}/content`, { rawBody: bytes, headers: { 'content-type': 'application/octet-stream', 'idempotency-key': image.id } });
  if (sent.status === 422) return { code: (sent.body as { code: string }).code, image };
  expect(sent).toMatchObject({ status: 202 });
  const task = await world.rest.ended(TaskRef.parse(sent.body));
  return { code: task.error?.code ?? null, image: await world.rest.ask(getImage, { imageId: image.id }) };
}

const table: readonly (readonly [string, () => Promise<Uint8Array<ArrayBuffer>>])[] = [
  ['a backing file', () => qcow2('backing.qcow2', ['-b', file('secret.raw'), '-F', 'raw'])],
  ['an external data file', () => qcow2('data-file.qcow2', ['-o', `data_file=${file('outside.raw')},data_file_raw=on`])],
  ['the bit of an external data file set by hand', async () => patched(await qcow2('bit.qcow2'), (header) => { header.setUint32(76, header.getUint32(76) | 4); })],
  ['an incompatible feature nobody knows', async () => patched(await qcow2('unknown.qcow2'), (header) => { header.setUint32(72, 0x8000_0000); })],
  ['a size of 63 TiB', async () => patched(await qcow2('bomb.qcow2'), (header) => { header.setBigUint64(24, 63n << 40n); })],
  ['a version of the future', async () => patched(await qcow2('version.qcow2'), (header) => { header.setUint32(4, 9); })],
  ['a header cut short', async () => (await qcow2('short.qcow2')).slice(0, 50)],
  ['another format than it says', async () => { await run(['qemu-img', 'create', '-q', '-f', 'vmdk', file('a.vmdk'), '64M']); return bytesOf(file('a.vmdk')); }],
];

describe('an image', () => {
  it.each(table)('with %s is refused and says why', async (what, make) => {
    const { code, image } = await upload(what.replaceAll(' ', '-'), await make());
    expect([what, code]).toEqual([what, 'IMAGE_REFUSED']);
    const now = await world.rest.ask(getImage, { imageId: image.id });
    expect(now).toMatchObject({ state: 'failed', reason: expect.any(String) });
    expect(now.reason).not.toContain(dir);
    expect(await world.rest.refusal(createTemplate, { name: `${world.prefix}-t`, imageId: image.id })).toMatchObject({ status: 409, code: 'WRONG_STATE' });
  });

  it('of no bytes is refused before it is looked at', async () => {
    const image = await world.rest.ask(createImage, { name: `${world.prefix}-empty` });
    images.push(image);
    const sent = await world.rest.send('PUT', `/v1/images/${image.id}/content`, { rawBody: new Uint8Array(), headers: { 'content-type': 'application/octet-stream', 'idempotency-key': image.id } });
    expect(sent).toMatchObject({ status: 400, body: { code: 'INVALID_ARGUMENT' } });
    expect(await world.rest.ask(getImage, { imageId: image.id })).toMatchObject({ state: 'awaiting-upload' });
  });

  it('whose backing file is on the network makes no connection', async () => {
    let connections = 0;
    const listener = createServer((socket) => { connections += 1; socket.destroy(); });
    await new Promise<void>((resolve) => { listener.listen(0, '127.0.0.1', resolve); });
    try {
      const { port } = listener.address() as AddressInfo;
      for (const name of [`nbd://127.0.0.1:${port}/x`, `json:{"driver":"nbd","host":"127.0.0.1","port":"${port}"}`]) {
        const bytes = await qcow2(`net-${port}-${name.length}.qcow2`, ['-u', '-b', name, '-F', 'raw']);
        expect(await upload(`net-${name.length}`, bytes)).toMatchObject({ code: 'IMAGE_REFUSED' });
      }
      expect(connections).toBe(0);
    } finally {
      await new Promise((resolve) => { listener.close(resolve); });
    }
  });

  it('of the format raw that looks like a qcow2 with a backing file stays plain bytes', async () => {
    const bytes = await qcow2('raw.qcow2', ['-b', file('secret.raw'), '-F', 'raw'], `${4 * MiB}`);
    const padded = new Uint8Array(4 * MiB);
    padded.set(bytes.slice(0, padded.length));
    const { code, image } = await upload('as-raw', padded, 'raw');
    if (code === null) expect(image).toMatchObject({ state: 'ready', virtualBytes: 4 * MiB });
    else expect(code).toBe('IMAGE_REFUSED');
    await run(['grep', '-rqaF', marker, world.record.datastore.path]).then(() => { throw new Error('the secret is on the datastore'); }, () => undefined);
  });

  it('refused leaves nothing behind once it is deleted', async () => {
    for (const { id } of images) await world.rest.carryOut(deleteImage, { imageId: id });
    expect(await holdings(world)).toEqual(before);
  });
});

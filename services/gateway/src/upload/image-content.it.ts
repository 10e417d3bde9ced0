import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import type { ClientRequest } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { Result } from '#kernel';
import { newUuid, ok } from '#kernel';
import { until } from '#testing';
import { GatewayUnderTest, people } from '../gateway.fixture.ts';

let gateway: GatewayUnderTest;
beforeAll(async () => { gateway = await GatewayUnderTest.start(); }, 30_000);
afterAll(() => gateway.end());

const imageId = newUuid();
const uploadId = newUuid();
const taskId = newUuid();
const path = `/v1/images/${imageId}/content`;
let state = 'awaiting-upload';
let ownerId: string = people.ann.userId;
let file = Buffer.alloc(0);
let running = 0;
let most = 0;
let trouble: () => Result<unknown> | undefined = () => undefined;

beforeEach(() => {
  gateway.asked.length = 0;
  [state, ownerId, file, running, most, trouble] = ['awaiting-upload', people.ann.userId, Buffer.alloc(0), 0, 0, () => undefined];
  gateway.play('templates.image.get', () => ok({ id: imageId, name: 'an image', state, uploadId: state === 'awaiting-upload' ? uploadId : null, ownerId, folderId: null }));
  gateway.play('templates.image.import', () => {
    state = 'importing';
    return ok({ taskId, objectId: imageId });
  });
  gateway.play('storage.upload.write', async ({ input }) => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => { setImmediate(resolve); });
    running -= 1;
    const refused = trouble();
    if (refused) return refused;
    const data = Buffer.from(String(input['data']), 'base64');
    const offset = Number(input['offset']);
    if (file.length < offset + data.length) file = Buffer.concat([file, Buffer.alloc(offset + data.length - file.length)]);
    data.copy(file, offset);
    return ok({ sizeBytes: file.length });
  });
});

const put = (body: Buffer | string, init: { as?: 'ann' | 'eve' | null; headers?: Record<string, string> } = {}) =>
  gateway.fetch(path, { method: 'PUT', body: typeof body === 'string' ? body : new Uint8Array(body), as: init.as ?? 'ann', headers: { 'content-type': 'application/octet-stream', ...init.headers } });

const open = (length: number): ClientRequest => {
  const { hostname, port } = new URL(gateway.url);
  const request = httpRequest({ hostname, port, path, method: 'PUT', headers: { authorization: 'Bearer ann', 'content-type': 'application/octet-stream', 'content-length': String(length) } });
  request.on('error', () => undefined);
  return request;
};

describe('the content of an image', () => {
  it('arrives whole at storage, a few pieces at a time, and is then imported with its size and digest', async () => {
    const bytes = randomBytes(5 * 1024 * 1024 + 12_345);
    const answer = await put(bytes, { headers: { 'idempotency-key': 'upload-1' } });
    expect([answer.status, answer.headers.get('location'), answer.headers.get('idempotency-key')]).toEqual([202, `/v1/tasks/${taskId}`, 'upload-1']);
    expect(file.equals(bytes)).toBe(true);
    expect(most).toBeLessThanOrEqual(3);
    const writes = gateway.questions('storage.upload.write');
    expect(writes).toHaveLength(11);
    expect(new Set(writes.map(({ actor }) => actor))).toEqual(new Set(['service:gateway']));
    expect(gateway.questions('templates.image.import')).toMatchObject([{ actor: 'actor-of-ann', key: 'upload-1', input: { imageId, sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') } }]);
  });

  it('that breaks off is not imported, and can be sent again from the start', async () => {
    const bytes = randomBytes(2 * 1024 * 1024);
    const request = open(bytes.length);
    request.write(bytes.subarray(0, 1024 * 1024 + 100));
    await until('two pieces are written', () => gateway.questions('storage.upload.write').length >= 2);
    request.destroy();
    let status = 409;
    for (let turn = 0; turn < 200 && status === 409; turn++) status = (await put(bytes)).status;
    expect(status).toBe(202);
    expect(file.equals(bytes)).toBe(true);
    expect(gateway.questions('templates.image.import')).toHaveLength(1);
  });

  it('that falls silent is ended', async () => {
    const request = open(1_000_000);
    const status = new Promise<number | undefined>((resolve) => { request.on('response', (response) => { resolve(response.statusCode); }); });
    request.write(randomBytes(1_000));
    expect(await status).toBe(408);
    expect(gateway.questions('templates.image.import')).toEqual([]);
  });

  it('is written again where an answer was lost, and given up where storage refuses', async () => {
    let failures = 2;
    trouble = () => (failures-- > 0 ? { ok: false, fault: { code: 'UNAVAILABLE', detail: 'away', details: { service: 'storage' } } } : undefined);
    expect((await put(randomBytes(600_000))).status).toBe(202);
    state = 'awaiting-upload';
    gateway.asked.length = 0;
    trouble = () => ({ ok: false, fault: { code: 'DATASTORE_FULL', detail: 'full', details: { datastoreId: newUuid(), freeBytes: 1, neededBytes: 2 } } });
    for (const size of [600_000, 40_000_000]) expect((await put(randomBytes(size))).status).toBe(507);
    expect(gateway.questions('templates.image.import')).toEqual([]);
  });

  it('is refused in another state, for another user, when empty and in another form, before a byte is written', async () => {
    expect((await put('')).status).toBe(400);
    expect((await put('x', { headers: { 'content-type': 'application/json' } })).status).toBe(415);
    expect((await gateway.fetch('/v1/images/not-an-id/content', { method: 'PUT', body: 'x', headers: { 'content-type': 'application/octet-stream' } })).status).toBe(400);
    expect((await gateway.fetch(path)).status).toBe(405);
    ownerId = newUuid();
    const refused = await put('x', { as: 'eve' });
    expect([refused.status, await refused.json()]).toMatchObject([403, { code: 'PERMISSION_DENIED' }]);
    state = 'ready';
    expect(await (await put('x')).json()).toMatchObject({ status: 409, code: 'WRONG_STATE', details: { state: 'ready' } });
    expect(gateway.questions('storage.upload.write')).toEqual([]);
  });
});

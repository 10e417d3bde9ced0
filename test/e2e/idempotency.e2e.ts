// The same idempotency key twice gives one VM and one answer; with another body it is refused.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVm, getTask, listVms } from '#contracts';
import { begin, ownVms, removeOwn, small } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
beforeAll(async () => { world = await openWorld('key'); });
afterAll(() => removeOwn(world));

describe('an idempotency key', () => {
  it('sent ten times at once gives one VM, one task and one answer', async () => {
    const key = randomUUID();
    const refs = await Promise.all(Array.from({ length: 10 }, () => begin(world, 'once', { start: false }, key)));
    expect(new Set(refs.map((ref) => `${ref.taskId} ${ref.objectId}`)).size).toBe(1);
    await world.rest.succeeded(refs[0]!);
    expect(await ownVms(world)).toHaveLength(1);
    // Also after the end of the task: the answer is kept, not the work repeated.
    expect(await begin(world, 'once', { start: false }, key)).toEqual(refs[0]);
    expect(await ownVms(world)).toHaveLength(1);
  });

  it('with another body is refused, and nothing is made', async () => {
    const key = randomUUID();
    const ref = await begin(world, 'first', { start: false }, key);
    expect(await world.rest.refusal(createVm, small(world, 'second', { start: false }), { key })).toMatchObject({ status: 409, code: 'IDEMPOTENCY_KEY_REUSED' });
    await world.rest.succeeded(ref);
    expect((await world.rest.ask(listVms, { name: `${world.prefix}-second` })).items).toEqual([]);
  });

  it('answers 202 with the task’s place, the same each time', async () => {
    const headers = { 'idempotency-key': randomUUID() };
    const body = small(world, 'location', { start: false });
    const [one, two] = [await world.rest.send('POST', '/v1/vms', { body, headers }), await world.rest.send('POST', '/v1/vms', { body, headers })];
    expect([one.status, two.status]).toEqual([202, 202]);
    expect(one.headers.get('location')).toMatch(/^\/v1\/tasks\/[0-9a-f-]{36}$/);
    expect(two.headers.get('location')).toBe(one.headers.get('location'));
    const taskId = one.headers.get('location')!.split('/').pop()!;
    expect((await world.rest.ended({ taskId: getTask.input.shape.taskId.parse(taskId), objectId: '' })).state).toBe('succeeded');
  });
});

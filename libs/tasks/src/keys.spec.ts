import { describe, expect, it } from '@jest/globals';
import { isIdempotencyKey } from '../../bus/src/headers.ts';
import { newUuid } from '#kernel';
import { childTaskId, commandIdOf, parentOfKey, requestKeyOf, taskOfCommandId } from './keys.ts';

const root = newUuid();
const taskId = newUuid();
const place = { taskId, rootTaskId: root, seq: 12, undo: true };

describe('keys', () => {
  it('name the task, the step, the direction and the part', () => {
    expect(commandIdOf({ ...place, undo: false })).toBe(`${taskId}/12`);
    expect(commandIdOf(place, 'disk-0')).toBe(`${taskId}/12/undo/disk-0`);
    expect(requestKeyOf(place)).toBe(`${root}/${taskId}/12/undo`);
    expect(requestKeyOf({ ...place, rootTaskId: taskId })).toBe(`${taskId}/12/undo`);
    expect(taskOfCommandId(commandIdOf(place))).toBe(taskId);
  });
  it('fit into an idempotency key at their longest', () => {
    expect(isIdempotencyKey(requestKeyOf({ ...place, seq: 999 }, 'x'.repeat(40)))).toBe(true);
  });
  it('lead a child to its parent and root', () => {
    expect(parentOfKey(requestKeyOf(place, 'a'))).toEqual({ parentTaskId: taskId, rootTaskId: root });
    expect(parentOfKey(requestKeyOf({ ...place, rootTaskId: taskId }))).toEqual({ parentTaskId: taskId, rootTaskId: taskId });
  });
  it.each(['', 'my-key', newUuid(), `${newUuid()}/x`, `${newUuid()}/1/undo/undo/a b`, `x/${newUuid()}/1`])('of another form, like %p, have no parent', (key) => {
    expect(parentOfKey(key)).toBeNull();
  });
  it.each(['undo', 'a b', '', 'x'.repeat(41), 'A'])('refuse the part %p', (part) => {
    expect(() => commandIdOf(place, part)).toThrow('cannot be part of a key');
  });
  it('give a child the same id each time, another one per receiver and key, in the form of a UUIDv7', () => {
    const key = requestKeyOf(place, 'a');
    expect(childTaskId('storage', key)).toBe(childTaskId('storage', key));
    expect(new Set([childTaskId('storage', key), childTaskId('network', key), childTaskId('storage', requestKeyOf(place, 'b'))]).size).toBe(3);
    expect(childTaskId('storage', key)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(childTaskId('storage', key).slice(0, 13)).toBe(taskId.slice(0, 13));
  });
});

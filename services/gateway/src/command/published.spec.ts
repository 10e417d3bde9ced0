import { describe, expect, it } from '@jest/globals';
import { Busy, IdempotencyKeyReused, Internal, RateLimited, Unavailable } from '#contracts';
import { commandId, effectOf, keptBody, laneOf, pauseAfter, placeOfCommand, publishable } from './published.ts';

const codeOf = (answer: ReturnType<typeof publishable>): string => (answer.ok ? answer.value.name : answer.fault.code);

describe('a published command', () => {
  it('says in its subject who published it, and what for', () => {
    expect(placeOfCommand('tok.v1.user.ann.cmd.compute.vm.start')).toEqual({ handle: 'ann', operation: 'compute.vm.start' });
    expect(placeOfCommand('tok.v1.user.ann.cmd.what.ever')).toEqual({ handle: 'ann', operation: 'what.ever' });
    for (const subject of ['tok.v1.user.ann.req.compute.vm.start', 'tok.v1.user.An n.cmd.x', 'tok.v1.user.ann.cmd.']) expect(placeOfCommand(subject)).toBeUndefined();
  });

  it('has one id however often it is delivered, and no other command has it', () => {
    const id = commandId({ seq: 7, publishedAt: 1_790_000_000_000 });
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(commandId({ seq: 7, publishedAt: 1_790_000_000_000 })).toBe(id);
    const ids = [commandId({ seq: 8, publishedAt: 1_790_000_000_000 }), commandId({ seq: 7, publishedAt: 1_790_000_000_001 })];
    expect(new Set([id, ...ids]).size).toBe(3);
  });

  it('keeps its place among those about its object, or under its key', () => {
    const lane = (handle: string, operation: string, idempotencyKey: string, input: unknown) => laneOf({ subject: `tok.v1.user.${handle}.cmd.${operation}`, idempotencyKey }, input);
    expect(lane('ann', 'compute.vm.start', 'k1', { vmId: 'v' })).toBe(lane('ann', 'compute.vm.stop', 'k2', { vmId: 'v' }));
    expect(lane('ann', 'compute.vm.create', 'k1', { name: 'a' })).toBe(lane('ann', 'compute.vm.create', 'k1', { name: 'b' }));
    const apart = [lane('ann', 'compute.vm.start', 'k', { vmId: 'v' }), lane('ann', 'compute.vm.start', 'k', { vmId: 'w' }), lane('eve', 'compute.vm.start', 'k', { vmId: 'v' }), lane('ann', 'compute.vm.create', 'k', null), lane('ann', 'compute.vm.create', 'l', undefined)];
    expect(new Set(apart).size).toBe(apart.length);
  });

  it.each([
    ['compute.vm.start', 'compute.vm.start'],
    ['compute.vm.list', 'INVALID_ARGUMENT'],
    ['no.such.thing', 'UNKNOWN_OPERATION'],
    ['storage.volume.provision', 'UNKNOWN_OPERATION'],
    ['auth.session.login', 'UNKNOWN_OPERATION'],
    ['auth.user.create', 'INVALID_ARGUMENT'],
    ['auth.user.set-password', 'INVALID_ARGUMENT'],
    ['monitoring.webhook.create', 'INVALID_ARGUMENT'],
    ['monitoring.webhook.rotate-secret', 'INVALID_ARGUMENT'],
    ['compute.console-ticket.create', 'INVALID_ARGUMENT'],
  ])('%s: %s', (name, outcome) => {
    expect(codeOf(publishable(name))).toBe(outcome);
  });

  it('leaves no secret among the dead letters', () => {
    const body = Buffer.from('{"password":"x"}');
    expect([keptBody('auth.user.create', body).length, keptBody('compute.vm.start', body)]).toEqual([0, body]);
  });

  it('tells ids of its effect and nothing else', () => {
    expect(effectOf({ taskId: 't', objectId: 'o', secret: 's' })).toEqual({ taskId: 't', objectId: 'o' });
    expect(effectOf({ id: 'o', secret: 's' })).toEqual({ taskId: null, objectId: 'o' });
    expect(effectOf({})).toEqual({ taskId: null, objectId: null });
  });
});

describe('a refusal', () => {
  it('that passes by itself is waited for, longer each time, and as long as asked', () => {
    const fault = Unavailable.fault('away', { service: 'compute' });
    expect([1, 2, 3].map((deliveries) => pauseAfter(fault, deliveries))).toEqual([100, 200, 400]);
    expect(pauseAfter(RateLimited.fault('slow', { retryAfterMs: 900 }), 1)).toBe(900);
    expect(pauseAfter(Busy.fault('at work', { taskId: 't' }), 4)).toBe(800);
  });

  it('that stays is final, and so is a bug that comes ten times', () => {
    expect(pauseAfter(IdempotencyKeyReused.fault('again'), 1)).toBeUndefined();
    expect(pauseAfter(Internal.fault('bug'), 9)).toBe(5_000);
    expect(pauseAfter(Internal.fault('bug'), 10)).toBeUndefined();
  });
});

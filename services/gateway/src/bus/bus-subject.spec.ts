import { describe, expect, it } from '@jest/globals';
import { allOperations } from '#contracts';
import { isOwnInbox, openOperation, placeOf } from './bus-subject.ts';

describe('a subject of the bus door', () => {
  it('names the user and the operation', () => {
    expect(placeOf('tok.v1.user.ann_1.req.compute.vm.power-off')).toEqual({ handle: 'ann_1', operation: 'compute.vm.power-off' });
  });
  it.each(['tok.v1.user.Ann.req.compute.vm.start', 'tok.v1.user.ann.cmd.compute.vm.start', 'tok.v1.user..req.compute.vm.start', 'tok.v1.user.ann.req.', 'tok.v1.user.ann.req.compute.vm.Start', 'tok.v2.user.ann.req.compute.vm.start'])('%s is none', (subject) => {
    expect(placeOf(subject)).toBeUndefined();
  });
});

it('opens what has a route, and nothing that signs in or is for services', () => {
  const open = allOperations.filter(({ name }) => openOperation(name) !== undefined);
  expect(open.length).toBeGreaterThan(80);
  expect(open.filter(({ permission, http }) => permission === 'internal' || permission === 'public' || http === undefined)).toEqual([]);
  for (const name of ['auth.session.login', 'auth.session.refresh', 'auth.session.resolve', 'auth.user.resolve', 'storage.volume.provision', 'no.such.thing']) expect(openOperation(name)).toBeUndefined();
});

it.each([
  ['_INBOX.user.bob.x.1', true], ['_INBOX.user.bob', false], ['_INBOX.user.bobby.x', false], ['_INBOX.user.ann.x', false], ['_INBOX.compute.x', false], ['tok.v1.host.h.vm.start', false], [undefined, false],
])('answers bob at %s: %s', (reply, may) => {
  expect(isOwnInbox({ subject: 'tok.v1.user.bob.req.compute.vm.list', ...(reply === undefined ? {} : { reply }) })).toBe(may);
});

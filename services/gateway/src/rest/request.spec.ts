import { describe, expect, it } from '@jest/globals';
import { getVm, listVms, routeOf, updateVm } from '#contracts';
import { inputOf, parseQuery, refuseDoorMembers, versionOf } from './request.ts';

const route = routeOf(updateVm)!;
const empty = { params: {}, query: '', body: undefined, ifMatch: undefined };
const fieldOf = (result: ReturnType<typeof inputOf>): unknown => (result.ok ? undefined : (result.fault.details?.['issues'] as { path: string }[])[0]?.path);

describe('the query', () => {
  it.each([
    ['a=1&b=two', { a: '1', b: 'two' }],
    ['', {}],
    ['&&a=1&', { a: '1' }],
    ['a', { a: '' }],
    ['a=b=c', { a: 'b=c' }],
    ['a=%C3%BC+x%2B', { a: 'ü x+' }],
    ['__proto__=x', JSON.parse('{"__proto__":"x"}') as object],
  ])('%j is read as its members', (text, members) => {
    const read = parseQuery(text);
    expect(read.ok && Object.entries(read.value)).toEqual(Object.entries(members));
  });

  it.each(['a=1&a=2', 'a=%', '%zz=1', 'a=%E0%A4%A', 'a&a', '%61=1&a=2'])('%j is refused', (text) => {
    expect(parseQuery(text).ok).toBe(false);
  });
});

describe('the input', () => {
  it('is put together from path, query, body and If-Match', () => {
    const input = inputOf(route, { params: { vmId: 'v' }, query: 'description=d', body: { name: 'n' }, ifMatch: '"3"' });
    expect(input.ok && { ...input.value }).toEqual({ vmId: 'v', description: 'd', name: 'n', version: 3 });
  });

  it.each([
    ['path and body', { ...empty, params: { vmId: 'v' }, body: { vmId: 'w' } }, 'vmId'],
    ['path and query', { ...empty, params: { vmId: 'v' }, query: 'vmId=w' }, 'vmId'],
    ['query and body', { ...empty, query: 'name=a', body: { name: 'b' } }, 'name'],
    ['If-Match and body', { ...empty, body: { version: 1 }, ifMatch: '"1"' }, 'version'],
  ])('takes a member from one place only: %s', (_what, pieces, field) => {
    expect(fieldOf(inputOf(route, pieces))).toBe(field);
  });

  it.each([[null], [[]], ['text'], [7], [true]])('takes no body that is no object: %j', (body) => {
    expect(fieldOf(inputOf(route, { ...empty, body }))).toBe('body');
  });

  it('takes If-Match only where there is a version to match', () => {
    expect(fieldOf(inputOf(routeOf(getVm)!, { ...empty, ifMatch: '"1"' }))).toBe('If-Match');
    expect(versionOf('*')).toEqual({ ok: true, value: undefined });
    for (const wrong of ['', '1', 'W/"1"', '"x"', '"1","2"', '"1']) expect(versionOf(wrong).ok).toBe(false);
  });

  it('has no members of the door from a client', () => {
    expect(refuseDoorMembers({ user: 'x' }, ['address']).ok).toBe(true);
    expect(refuseDoorMembers({ user: 'x', address: 'y' }, ['address']).ok).toBe(false);
    expect(routeOf(listVms)?.rest).toBe('query');
  });
});

import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { allOperations, labelsAsked, LabelFilter, listInput, listVms, projected } from './index.ts';

const Item = z.strictObject({ id: z.string(), labels: z.record(z.string(), z.string()), status: z.strictObject({ state: z.string() }).nullable(), nics: z.array(z.strictObject({ ip: z.string(), mac: z.string() })) });
const input = z.strictObject(listInput(Item, ['createdAt', 'name']));
const issueOf = (over: object): string => input.safeParse(over).error?.issues[0]?.message ?? '';

describe('the input of a list', () => {
  it('takes the orders of its contract in both directions, and names them when it is asked for another', () => {
    for (const sort of ['createdAt', '-createdAt', 'name', '-name']) expect(issueOf({ sort })).toBe('');
    for (const sort of ['state', '--name', 'name,id', '__proto__', '']) expect(issueOf({ sort })).toContain('"-name"');
  });
  it.each(['id', 'id,status.state', 'status', 'nics.ip', 'labels', 'labels.env'])('takes the fields %s', (fields) => { expect(issueOf({ fields })).toBe(''); });
  it.each([
    ['', ''], ['name', 'there is no name; one of id, labels, status, nics'], ['status.name', 'there is no status.name; one of status.state'], ['id.x', 'id has no members'],
    ['id,', 'there is no'], ['__proto__', 'there is no __proto__'], ['constructor', 'there is no constructor'], ['nics.0.ip', 'there is no nics.0'],
  ])('refuses the fields "%s"', (fields, text) => {
    expect(issueOf({ fields })).toContain(text);
    expect(input.safeParse({ fields }).success).toBe(false);
  });
  it('of every public list has an order and a projection', () => {
    const lists = allOperations.filter(({ verb, http, name }) => verb === 'list' && http !== undefined && name !== 'monitoring.event.list');
    expect(lists.length).toBeGreaterThan(15);
    expect(lists.filter((list) => !('sort' in (list.input as z.ZodObject).shape && 'fields' in (list.input as z.ZodObject).shape)).map(({ name }) => name)).toEqual([]);
  });
});

describe('a projection', () => {
  const items = [{ id: 'a', labels: { env: 'prod', tier: 'web' }, status: { state: 'running' }, nics: [{ ip: '1', mac: '2' }] }, { id: 'b', labels: {}, status: null, nics: [] }];
  it('answers what was asked for and nothing else', () => {
    expect(projected({ items, next: 'n' }, { fields: 'id,status.state,nics.ip,labels.env' })).toEqual({
      items: [{ id: 'a', status: { state: 'running' }, nics: [{ ip: '1' }], labels: { env: 'prod' } }, { id: 'b', status: null, nics: [], labels: {} }], next: 'n',
    });
  });
  it('of a member and of a part of it is the whole member', () => {
    expect(projected({ items, next: null }, { fields: 'status.state,status' })).toMatchObject({ items: [{ status: { state: 'running' } }, { status: null }] });
  });
  it('changes nothing where nobody asked, and nothing that is no list', () => {
    expect(projected({ items, next: null }, {})).toEqual({ items, next: null });
    expect(projected({ id: 'a' }, { fields: 'x' })).toEqual({ id: 'a' });
  });
});

describe('labels', () => {
  it('are asked for by name and value', () => {
    expect(labelsAsked('env:prod,tier,url:http://x')).toEqual([{ name: 'env', value: 'prod' }, { name: 'tier', value: null }, { name: 'url', value: 'http://x' }]);
  });
  it.each(['', ':x', 'Env:prod', 'env:prod,', 'a"b:c'])('are refused as "%s"', (text) => { expect(LabelFilter.safeParse(text).success).toBe(false); });
  it('come as text, as flags do', () => {
    expect(listVms.input.parse({ recycled: 'true', subfolders: 'false' })).toMatchObject({ recycled: true, subfolders: false });
  });
});

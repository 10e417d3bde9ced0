import { describe, expect, it } from '@jest/globals';
import { createLogger } from './logger.ts';

function logged(write: (log: ReturnType<typeof createLogger>) => void, level = 'info'): { text: string; lines: Record<string, unknown>[] } {
  let text = '';
  write(createLogger('compute', { level, destination: { write: (line) => { text += line; } } }));
  return { text, lines: text.split('\n').filter(Boolean).map((line) => JSON.parse(line) as Record<string, unknown>) };
}

const jwt = 'eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl';

describe('the log', () => {
  it('is JSON with level, time and service', () => {
    const { lines } = logged((log) => { log.info({ vmId: 'v1' }, 'started'); });
    expect(lines).toEqual([expect.objectContaining({ level: 'info', service: 'compute', vmId: 'v1', msg: 'started', at: expect.stringMatching(/Z$/) })]);
  });

  it('leaves out what is below its level', () => {
    expect(logged((log) => { log.debug('quiet'); }).text).toBe('');
  });

  it.each([
    ['a password', { password: 'hunter2-secret' }],
    ['a nested one', { input: { user: { adminPassword: 'hunter2-secret' } } }],
    ['one in a list', { items: [{ secret: 'hunter2-secret' }] }],
    ['a token', { accessToken: 'hunter2-secret' }],
    ['a header', { headers: { Authorization: 'hunter2-secret', 'Tok-Actor': 'hunter2-secret' } }],
    ['credentials as an object', { natsCreds: { user: 'hunter2-secret' } }],
    ['a URL', { url: 'mysql://compute:hunter2-secret@db:3306/compute' }],
    ['a map', { map: new Map([['a', { token: 'hunter2-secret' }]]) }],
    ['an error that carries one', { err: Object.assign(new Error('connect to redis://:hunter2-secret@h failed'), { password: 'hunter2-secret', cause: new Error('mysql://u:hunter2-secret@h') }) }],
  ])('blanks %s', (_what, fields) => {
    const { text } = logged((log) => { log.info(fields, 'tried'); });
    expect(text).toContain('tried');
    expect(text).not.toContain('hunter2-secret');
  });

  it('blanks secrets inside messages and in the fields of children', () => {
    const { text } = logged((log) => {
      log.child({ sessionToken: 'hunter2-secret' }).info(`Bearer ${jwt}`);
      log.warn(`nats://u:hunter2-secret@h SUAGK7QTCOC6WTHKXLMVG7FQZ6AFNNDVKGEFLM5ZEIEHCM5VWUALYUQLDM`);
    });
    expect(text).not.toMatch(/hunter2-secret|eyJ|SUAG/);
  });

  it('keeps ids, counts and switches that only sound secret', () => {
    const { lines } = logged((log) => { log.info({ tokenId: 't1', token: 3, hasPassword: true }, 'x'); });
    expect(lines[0]).toMatchObject({ tokenId: 't1', token: 3, hasPassword: true });
  });

  it('survives cycles and deep objects', () => {
    const cycle: Record<string, unknown> = { name: 'a' };
    cycle['self'] = cycle;
    expect(logged((log) => { log.info({ cycle }, 'x'); }).lines).toHaveLength(1);
  });

  it('tells an error with its stack and cause', () => {
    const { lines } = logged((log) => { log.error({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed'); });
    expect(lines[0]).toMatchObject({ err: { type: 'Error', message: 'outer', stack: expect.stringContaining('outer'), cause: { message: 'inner' } } });
  });

  it('takes a bare error', () => {
    const { lines } = logged((log) => { log.error(new Error('boom')); });
    expect(lines[0]).toMatchObject({ err: { message: 'boom' }, msg: 'boom' });
  });
});

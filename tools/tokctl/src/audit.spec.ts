// Checking the audit log, against a platform that the test plays, and from a file without one.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chainStart, linkHash } from '#kernel';
import { Desk, FakePlatform, someId } from './platform.fixture.ts';

let platform: FakePlatform;
let desk: Desk;
beforeEach(async () => {
  platform = await new FakePlatform().open();
  desk = new Desk();
  desk.env = { TOK_URL: platform.url, TOK_TOKEN: 'secret' };
});
afterEach(async () => {
  desk.close();
  await platform.close();
});

const hash = 'a'.repeat(64);
const stretch = (over: object = {}) => ({ body: { checked: 5_000, next: null, base: { seq: 0, hash: chainStart }, head: { seq: 7_000, hash }, flaws: [], ...over } });

describe('audit verify', () => {
  it('goes on to the end of the log and says how it ends', async () => {
    platform.answer = ({ query }) => (query.get('from') === '0' ? stretch({ next: 5_001 }) : stretch({ checked: 2_000 }));
    const { status, out } = await desk.tokctl(['audit', 'verify']);
    expect([status, out.split('\n')]).toEqual([0, ['checked  7000 rows', `newest   7000:${hash}`, expect.stringContaining('sound')]]);
    expect(platform.of('GET', '/v1/audit/verification').map(({ query }) => query.get('from'))).toEqual(['0', '5001']);
  });
  it('fails with every flaw, also when it is the same on two stretches', async () => {
    const flaw = { seq: 12, flaw: 'altered', text: 'Row 12 was altered.' };
    platform.answer = ({ query }) => stretch({ flaws: [flaw], next: query.get('from') === '0' ? 5_001 : null });
    const { status, said } = await desk.tokctl(['audit', 'verify', '--expect', `7:${hash}`]);
    expect(status).toBe(1);
    expect(said.match(/Row 12/g)).toHaveLength(1);
    expect(platform.seen[0]?.query.get('expect')).toBe(`7:${hash}`);
  });
  it.each([[['--from', 'x']], [['--expect', '7']], [['--file', '/nowhere/audit.json']]])('refuses %j', async (words) => {
    expect((await desk.tokctl(['audit', 'verify', ...words])).status).toBe(2);
    expect(platform.seen).toEqual([]);
  });
});

describe('audit verify --file', () => {
  const record = () => ({
    id: someId(), at: '2026-01-01T00:00:00.000Z', source: 'auth', operation: 'auth.user.create', door: 'rest', actor: null, claimed: null, service: null, address: null, object: { noun: 'user', id: someId() },
    outcome: 'done', code: null, taskId: null, traceId: null, times: 1, since: null,
  });
  const rows = Array.from({ length: 5 }, record).reduce<({ seq: number; hash: string } & ReturnType<typeof record>)[]>((chain, one) => {
    const seq = chain.length + 1;
    return [...chain, { ...one, seq, hash: linkHash(chain.at(-1)?.hash ?? chainStart, seq, one) }];
  }, []);
  const verify = (kept: unknown) => {
    const file = join(desk.dir, 'audit.json');
    writeFileSync(file, JSON.stringify(kept));
    return desk.tokctl(['audit', 'verify', '--file', file]);
  };
  it('finds nothing in a list as it was, in any order, and asks nobody', async () => {
    expect((await verify(rows)).out).toContain(`newest   5:${rows[4]!.hash}`);
    expect((await verify({ items: rows.slice(2).toReversed() })).status).toBe(0);
    expect(platform.seen).toEqual([]);
  });
  it('names what was altered and what is missing', async () => {
    const altered = await verify(rows.map((row) => (row.seq === 3 ? { ...row, operation: 'auth.user.delete' } : row)));
    expect([altered.status, altered.said]).toEqual([1, expect.stringContaining('Row 3')]);
    const gone = await verify(rows.filter(({ seq }) => seq !== 4));
    expect([gone.status, gone.said]).toEqual([1, expect.stringContaining('Rows 4 to 4')]);
  });
});

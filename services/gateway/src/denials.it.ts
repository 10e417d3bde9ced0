// What the doors say for the audit log: their own denials, each once and before it is answered; nothing of what an owner
// denied, for he says it himself; and of a flood only how much it was.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from '@nats-io/transport-node';
import mysql from 'mysql2/promise';
import type { AuditFacts } from '#contracts';
import { PermissionDenied } from '#contracts';
import { newUuid } from '#kernel';
import { until } from '#testing';
import { GatewayUnderTest } from './gateway.fixture.ts';

let under: GatewayUnderTest;
let sql: mysql.Connection;
const vmId = newUuid();
beforeAll(async () => {
  under = await GatewayUnderTest.start();
  sql = await mysql.createConnection({ uri: under.schema.url, timezone: 'Z' });
  await under.takesCommands();
}, 60_000);
afterAll(async () => {
  await sql.end();
  await under.end();
});

async function said(): Promise<AuditFacts[]> {
  const [rows] = await sql.query<mysql.RowDataPacket[]>("SELECT CAST(event AS CHAR) AS event FROM outbox WHERE subject LIKE '%.audit.recorded.%' ORDER BY id");
  return rows.map(({ event }) => (JSON.parse(event as string) as { data: AuditFacts }).data);
}
/** What was said during `work`. */
async function during(work: () => Promise<unknown>): Promise<AuditFacts[]> {
  const before = (await said()).length;
  await work();
  return (await said()).slice(before);
}
const denyAll = () => { under.play('compute.vm.start', () => PermissionDenied.fail('not yours', { permission: 'vm.power' })); };

describe('a denial', () => {
  it('of nobody is there when it is answered, with his address and the trace that he is told', async () => {
    let trace: string | null = null;
    const records = await during(async () => {
      const answer = await under.fetch(`/v1/vms/${vmId}`, { as: null });
      expect(answer.status).toBe(401);
      trace = answer.headers.get('x-request-id');
    });
    expect(records).toEqual([expect.objectContaining({ operation: 'compute.vm.get', door: 'rest', actor: null, address: '127.0.0.1', object: { noun: 'vm', id: vmId }, outcome: 'denied', code: 'UNAUTHENTICATED', traceId: trace, times: 1 })]);
  });
  it('of a token that holds no more is one, although auth was asked about it', async () => {
    const records = await during(() => under.fetch('/v1/vms', { headers: { authorization: 'Bearer stale' }, as: null }));
    expect(records).toMatchObject([{ operation: 'compute.vm.list', code: 'UNAUTHENTICATED' }]);
  });
  it('of one without the right names him', async () => {
    const records = await during(() => under.fetch('/v1/hosts', { as: 'eve' }));
    expect(records).toMatchObject([{ operation: 'compute.host.list', actor: { handle: 'eve' }, code: 'PERMISSION_DENIED' }]);
  });
  it('by the owner is his to record, at whichever door', async () => {
    denyAll();
    const user = await connect({ servers: under.natsUrl, inboxPrefix: '_INBOX.user.ann' });
    under.asked.length = 0;
    const records = await during(async () => {
      expect((await under.fetch(`/v1/vms/${vmId}/start`, { method: 'POST' })).status).toBe(403);
      const answer = await user.request('tok.v1.user.ann.req.compute.vm.start', JSON.stringify({ vmId }), { timeout: 5_000 });
      expect(answer.headers?.get('Nats-Service-Error')).toBe('PERMISSION_DENIED');
      await under.publish('ann', 'compute.vm.start', { vmId }, 'denied-by-owner');
      await ended('denied-by-owner');
    });
    await user.close();
    expect(records).toEqual([]);
    expect(under.questions('compute.vm.start').map(({ door }) => door)).toEqual(['rest', 'bus', 'command']);
  });
  it.each([['without the right names him', 'eve', { actor: { handle: 'eve' }, claimed: null, code: 'PERMISSION_DENIED' }], ['who is none any more has the name that he came under', 'nobody', { actor: null, claimed: 'nobody', code: 'UNAUTHENTICATED' }]])('at the bus door of one %s', async (_what, handle, expected) => {
    const user = await connect({ servers: under.natsUrl, inboxPrefix: `_INBOX.user.${handle}` });
    const records = await during(() => user.request(`tok.v1.user.${handle}.req.compute.host.get`, JSON.stringify({ hostId: vmId }), { timeout: 5_000 }));
    await user.close();
    expect(records).toMatchObject([{ operation: 'compute.host.get', door: 'bus', object: { noun: 'host', id: vmId }, ...expected }]);
  });
  it.each([['of one without the right', 'eve', { actor: { handle: 'eve' }, code: 'PERMISSION_DENIED' }], ['of nobody', 'nobody', { actor: null, claimed: 'nobody', code: 'UNAUTHENTICATED' }]])('of a published command %s is one, in the transaction of its end', async (_what, handle, expected) => {
    const key = newUuid();
    const records = await during(async () => {
      await under.publish(handle, 'compute.cluster.create', { name: 'of eve' }, key);
      await ended(key);
    });
    expect(records).toMatchObject([{ operation: 'compute.cluster.create', door: 'command', ...expected }]);
  });
  it('a thousand times is a handful of records that count them all', async () => {
    const records = await during(async () => {
      for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 100 }, async () => { await (await under.fetch('/v1/hosts', { as: null })).text(); }));
      await under.stop();
    });
    const flood = records.filter(({ actor }) => actor === null);
    expect(flood.length).toBeLessThanOrEqual(40);
    expect(flood.reduce((sum, { times }) => sum + times, 0)).toBe(1_000);
  }, 60_000);
});

const ended = (key: string): Promise<boolean> => until('the command has ended', async () => {
  const [rows] = await sql.query<mysql.RowDataPacket[]>('SELECT id FROM dead_letter WHERE idem_key = ?', [key]);
  return rows.length > 0;
});

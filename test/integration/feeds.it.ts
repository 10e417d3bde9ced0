// From an owner's commit to whoever follows: a real gateway, monitoring and auth, with monitoring and the gateway cut off in the
// middle of everything. A feed on the bus, a stream and a webhook hear each event once, in the order of the log; outcomes of
// published commands are among them.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { jetstream } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { createWebhook, listEvents, vmDeleted, type VmId } from '#contracts';
import { selectRows, transaction } from '#database';
import { newUuid } from '#kernel';
import { Db, Nats, startService, type RunningService } from '#service';
import { emit } from '#tasks';
import { makeTestSchema, until, type TestSchema } from '#testing';
import { followedByBoth } from './followed.fixture.ts';
import { AuthUnderTest } from '../../services/auth/src/auth.fixture.ts';
import { gateway as gatewayService } from '../../services/gateway/gateway.service.ts';
import { busDoor } from '../../services/gateway/src/bus/bus.door.ts';
import { commandsDoor } from '../../services/gateway/src/command/commands.door.ts';
import { feedsDoor } from '../../services/gateway/src/feed/feeds.door.ts';
import { restDoor, type RestDoorHandle } from '../../services/gateway/src/rest/open.door.ts';
import { monitoringService } from '../../services/monitoring/monitoring.definition.ts';
import { askOnBus } from '../e2e/bus-user.ts';
import { FeedFollower, Receiver, StreamFollower, type Heard } from '../e2e/followers.ts';

@Module({})
class Nothing {}

let auth: AuthUnderTest;
let dir: string;
let owner: RunningService;
let monitoring: RunningService;
let gateway: RunningService;
let door: RestDoorHandle;
let bearer: string;
let nats: NatsConnection;
let stream: StreamFollower | undefined;
const receiver = new Receiver();
const schemas = new Map<string, TestSchema>();
const ids = Array.from({ length: 5 }, newUuid);

const env = (name: string): Record<string, string> => ({
  TOK_NATS_URL: auth.env['TOK_NATS_URL'] ?? '', TOK_MYSQL_URL: schemas.get(name)?.url ?? '', TOK_LOG_LEVEL: 'fatal', TOK_HTTP_PORT: '0', TOK_HTTP_REQUESTS_PER_SECOND: '100000', TOK_DATA_DIR: dir, TOK_WEBHOOK_ALLOW: '127.0.0.0/8',
});
const startMonitoring = async (): Promise<void> => { monitoring = await startService(monitoringService, { env: env('monitoring'), ownsProcess: false }); };
const startGateway = async (): Promise<void> => {
  gateway = await startService({ ...gatewayService, doors: (parts) => [door = restDoor(parts), busDoor(parts), commandsDoor(parts), feedsDoor(parts)] }, { env: env('gateway'), ownsProcess: false });
};

/** As near to a kill as one process allows: nothing that is under way gets another word to the database or to the bus. */
async function cut(service: RunningService): Promise<void> {
  await Promise.allSettled([service.get<DataSource>(Db).destroy(), service.get<NatsConnection>(Nats).close()]);
  await service.stop();
}

beforeAll(async () => {
  auth = await AuthUnderTest.started();
  dir = mkdtempSync(join(tmpdir(), 'tok-feeds-'));
  for (const name of ['compute', 'monitoring', 'gateway']) schemas.set(name, await makeTestSchema(name));
  owner = await startService({ name: 'compute', module: Nothing, migrations: [] }, { env: env('compute'), ownsProcess: false });
  await startMonitoring();
  await startGateway();
  bearer = (await auth.session(await auth.admin())).accessToken;
  nats = await connect({ servers: env('gateway')['TOK_NATS_URL'] ?? '', inboxPrefix: '_INBOX.user.admin' });
}, 120_000);
afterAll(async () => {
  await stream?.leave();
  receiver.close();
  await nats.close();
  await gateway.stop();
  await monitoring.stop();
  await owner.stop();
  for (const schema of schemas.values()) await schema.drop();
  await auth.end();
  rmSync(dir, { recursive: true, force: true });
});

let count = 0;
/** Events of five objects in turn; the name of each counts. */
async function happen(events: number): Promise<void> {
  const db = owner.get<DataSource>(Db);
  for (let one = 0; one < events; one++) {
    const objectId = ids[count % ids.length]!;
    await transaction(db, (tx) => emit(tx, vmDeleted, { objectId, data: { vmId: objectId as VmId, name: `n${count}` } }));
    count += 1;
  }
}
const numbers = (events: readonly Heard[]): number[] => events.filter(({ name }) => name === vmDeleted.name).map(({ data }) => Number(String(data['name']).slice(1)));
const upTo = (end: number, from = 0): number[] => Array.from({ length: end - from }, (_, index) => from + index);

const follow = (after: number): Promise<FeedFollower> => new FeedFollower(nats, 'admin', after).open();
const lastSeq = async (): Promise<number> => (await askOnBus(nats, 'admin', listEvents, { latest: true, limit: 1 })).lastSeq;

describe('events', () => {
  it('reach everybody who follows once and in order, whatever is cut off meanwhile', async () => {
    await happen(150);
    await until('the log has them', async () => (await lastSeq()) >= 150);
    const reader = await follow(0);
    const streaming = stream = new StreamFollower({ get url() { return door.url(); }, token: bearer }, 1);
    await askOnBus(nats, 'admin', createWebhook, { name: 'all', target: receiver.url, after: 1, filter: { names: ['compute.vm.*'] } });
    const posted = (): Heard[] => receiver.deliveries.flatMap(({ events }) => events);

    for (const [cutOff, startAgain] of [[() => cut(monitoring), startMonitoring], [() => cut(gateway), startGateway], [() => cut(monitoring), startMonitoring]] as const) {
      const going = happen(120);
      const seen = reader.events.length;
      await until('some have come', () => reader.events.length > seen, 90_000);
      await cutOff();
      await going;
      await happen(20);
      await startAgain();
    }
    await happen(10);

    const has = (events: readonly Heard[], total: number) => new Set(numbers(events)).size >= total;
    await until('all have all', () => has(reader.events, count) && has(streaming.events, count) && has(posted(), count), 90_000);
    await streaming.leave();
    expect(reader.opened).toBe(1);
    expect(streaming.strange).toEqual([]);
    const db = monitoring.get<DataSource>(Db);
    const log = await selectRows<{ global_seq: number | string }>(db, 'SELECT global_seq FROM event_log ORDER BY global_seq');
    const seqs = log.map((row) => Number(row.global_seq));
    expect(seqs).toEqual(upTo(seqs.length + 1, 1));
    for (const events of [reader.events, streaming.events]) {
      expect(numbers(events)).toEqual(upTo(count));
      const heard = events.map(({ globalSeq }) => globalSeq);
      expect(heard).toEqual(upTo((heard.at(-1) ?? 0) + 1, heard[0]));
    }
    // At least once: what was sent again stands where it stood, so without repeats the order is that of the log.
    expect([...new Set(numbers(posted()))]).toEqual(upTo(count));
    await reader.leave();
  }, 360_000);

  it('that came while a reader was away are all there when he comes back', async () => {
    const reader = await follow(await lastSeq());
    const from = count;
    await happen(3);
    await until('he has the first', () => numbers(reader.events).length === 3);
    await reader.leave();
    await happen(650);
    const back = await follow(reader.position);
    await happen(20);
    await until('he has the rest', () => numbers(back.events).length === 670, 60_000);
    expect(numbers(back.events)).toEqual(upTo(from + 673, from + 3));
    await back.leave();
  }, 90_000);

  it('tell the user how his published commands ended, whichever gateway had them', async () => {
    const other = await startService(gatewayService, { env: env('gateway'), ownsProcess: false });
    const reader = await follow(await lastSeq());
    const publish = async (key: string, operation: string, input: object): Promise<void> => {
      const sent = headers();
      sent.set('Idempotency-Key', key);
      await jetstream(nats).publish(`tok.v1.user.admin.cmd.${operation}`, JSON.stringify(input), { headers: sent });
    };
    const bad: string[] = [];
    const publishBad = (): Promise<void> => publish(bad[bad.push(`bad-${bad.length}`) - 1]!, 'monitoring.webhook.delete', { webhookId: newUuid() });
    await publish('good', 'gateway.event-feed.create', { leaseMs: 5_000 });
    await followedByBoth(nats, 'admin', publishBad);
    for (let count = 0; count < 20; count++) await publishBad();
    const outcomes = () => reader.events.filter(({ source, name }) => source === 'gateway' && name.startsWith('gateway.command.'));
    await until('all outcomes are told', () => outcomes().length > bad.length);
    const texts = outcomes().map(({ name, data }) => `${String(data['idempotencyKey'])} ${name} ${(data['error'] as { code: string } | undefined)?.code ?? ''}`).sort();
    expect(texts).toEqual([...bad.map((key) => `${key} gateway.command.refused NOT_FOUND`), 'good gateway.command.accepted '].sort());
    for (const { healthPort } of [gateway, other]) expect(await (await fetch(`http://127.0.0.1:${healthPort}/metrics`)).text()).toMatch(/^tokamak_commands_requests_total\{[^}]*\} [1-9]/m);
    await reader.leave();
    await other.stop();
  }, 60_000);
});

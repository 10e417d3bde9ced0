// From an owner's commit to whoever follows: a real gateway, monitoring and auth, with monitoring and the gateway cut off in the
// middle of everything. A feed on the bus, a stream and a webhook hear each event once, in the order of the log; outcomes of
// published commands are among them.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { jetstream } from '@nats-io/jetstream';
import { connect, headers } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { vmDeleted, type VmId } from '#contracts';
import { selectRows, transaction } from '#database';
import { newUuid, sleep } from '#kernel';
import { Db, Nats, startService, type RunningService } from '#service';
import { emit } from '#tasks';
import { makeTestSchema, until, type TestSchema } from '#testing';
import { AuthUnderTest } from '../../services/auth/src/auth.fixture.ts';
import { gateway as gatewayService } from '../../services/gateway/gateway.service.ts';
import { busDoor } from '../../services/gateway/src/bus/bus.door.ts';
import { commandsDoor } from '../../services/gateway/src/command/commands.door.ts';
import { feedsDoor } from '../../services/gateway/src/feed/feeds.door.ts';
import { restDoor, type RestDoorHandle } from '../../services/gateway/src/rest/open.door.ts';
import { monitoringService } from '../../services/monitoring/monitoring.definition.ts';

@Module({})
class Nothing {}

interface Event { readonly globalSeq: number; readonly name: string; readonly objectId: string; readonly source: string; readonly data: Record<string, unknown> }

let auth: AuthUnderTest;
let dir: string;
let owner: RunningService;
let monitoring: RunningService;
let gateway: RunningService;
let door: RestDoorHandle;
let bearer: string;
let nats: NatsConnection;
let receiver: Server;
const schemas = new Map<string, TestSchema>();
const posted: Event[] = [];
const ids = Array.from({ length: 5 }, newUuid);
const over = new AbortController();

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
  receiver = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (part: string) => { text += part; }).on('end', () => {
      posted.push(...(JSON.parse(text) as { events: Event[] }).events);
      response.writeHead(200).end();
    });
  }).listen(0, '127.0.0.1');
}, 120_000);
afterAll(async () => {
  over.abort();
  receiver.close();
  receiver.closeAllConnections();
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
const numbers = (events: readonly Event[]): number[] => events.filter(({ name }) => name === vmDeleted.name).map(({ data }) => Number(String(data['name']).slice(1)));
const upTo = (end: number, from = 0): number[] => Array.from({ length: end - from }, (_, index) => from + index);

async function ask(operation: string, input: object): Promise<Record<string, unknown>> {
  for (const giveUpAt = performance.now() + 60_000; performance.now() < giveUpAt;) {
    try {
      const answer = await nats.request(`tok.v1.user.admin.req.${operation}`, JSON.stringify(input), { timeout: 5_000 });
      const code = answer.headers?.get('Nats-Service-Error');
      const body = answer.json<Record<string, unknown>>();
      if (code === undefined || code === '') return body;
      if (code !== 'UNAVAILABLE' && code !== 'DEADLINE_EXCEEDED') throw new Error(`${operation}: ${answer.string()}`);
    } catch (error) {
      // Nobody is there now.
      if (!/responders|timeout/i.test(String(error))) throw error;
    }
    await sleep(50);
  }
  throw new Error(`${operation} was not answered within a minute`);
}

/** A reader of a feed as the guide has him. */
class Reader {
  readonly events: Event[] = [];
  end: string | undefined;
  private subscription: ReturnType<NatsConnection['subscribe']> | undefined;
  private saying: Promise<unknown> = Promise.resolve();
  private feedId = '';

  constructor(public position: number) {}

  async open(): Promise<this> {
    const feed = await ask('gateway.event-feed.create', { after: this.position });
    this.feedId = String(feed['id']);
    this.subscription = nats.subscribe(String(feed['subject']), { callback: (_error, message) => { this.take(message.json()); } });
    return this;
  }

  private take({ after, position, events, end }: { after: number; position: number; events: Event[]; end: { code: string } | null }): void {
    if (end !== null) this.end = end.code;
    else if (after > this.position) this.say({ again: true });
    else {
      this.events.push(...events.filter(({ globalSeq }) => globalSeq > this.position));
      this.position = Math.max(this.position, position);
      if (events.length > 0) this.say({});
    }
  }

  private say(over: object): void {
    this.saying = this.saying.then(() => ask('gateway.event-feed.get', { feedId: this.feedId, read: this.position, ...over }));
  }

  async close(): Promise<void> {
    this.subscription?.unsubscribe();
    await this.saying;
    await ask('gateway.event-feed.delete', { feedId: this.feedId });
  }
}

/** A client of the stream that comes back with the last number it has. */
async function stream(after: number, events: Event[], over: AbortSignal): Promise<void> {
  let last = after;
  while (!over.aborted) {
    try {
      const answer = await fetch(`${door.url()}/v1/events`, { headers: { accept: 'text/event-stream', authorization: `Bearer ${bearer}`, 'last-event-id': String(last) }, signal: over });
      let text = '';
      for await (const part of answer.body ?? []) {
        const blocks = (text + Buffer.from(part as Uint8Array).toString()).split('\n\n');
        text = blocks.pop() ?? '';
        for (const block of blocks) {
          const data = /^data: (.*)$/m.exec(block)?.[1];
          if (!block.startsWith('id: ') || data === undefined) continue;
          events.push(JSON.parse(data) as Event);
          last = events.at(-1)!.globalSeq;
        }
      }
    } catch {
      // Cut off; it comes back.
    }
    await sleep(50, over);
  }
}

const lastSeq = async (): Promise<number> => Number((await ask('monitoring.event.list', { latest: true, limit: 1 }))['lastSeq']);

describe('events', () => {
  it('reach everybody who follows once and in order, whatever is cut off meanwhile', async () => {
    await happen(150);
    await until('the log has them', async () => (await lastSeq()) >= 150);
    const begin = 0;
    const [streamed, reader] = [[] as Event[], await new Reader(begin).open()];
    const streaming = stream(begin + 1, streamed, over.signal);
    const { port } = receiver.address() as AddressInfo;
    await ask('monitoring.webhook.create', { name: 'all', target: `http://127.0.0.1:${port}/`, after: 1, filter: { names: ['compute.vm.*'] } });

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

    const has = (events: readonly Event[], total: number) => new Set(numbers(events)).size >= total;
    await until('all have all', () => has(reader.events, count) && has(streamed, count) && has(posted, count), 90_000);
    over.abort();
    await streaming;
    const db = monitoring.get<DataSource>(Db);
    const log = await selectRows<{ global_seq: number | string }>(db, 'SELECT global_seq FROM event_log ORDER BY global_seq');
    const seqs = log.map((row) => Number(row.global_seq));
    expect(seqs).toEqual(upTo(seqs.length + 1, 1));
    for (const events of [reader.events, streamed]) {
      expect(numbers(events)).toEqual(upTo(count));
      const heard = events.map(({ globalSeq }) => globalSeq);
      expect(heard).toEqual(upTo((heard.at(-1) ?? 0) + 1, heard[0]));
    }
    // At least once: what was sent again stands where it stood, so without repeats the order is that of the log.
    expect([...new Set(numbers(posted))]).toEqual(upTo(count));
    await reader.close();
  }, 360_000);

  it('that came while a reader was away are all there when he comes back', async () => {
    const reader = await new Reader(await lastSeq()).open();
    const from = count;
    await happen(3);
    await until('he has the first', () => numbers(reader.events).length === 3);
    await reader.close();
    await happen(650);
    const back = await new Reader(reader.position).open();
    await happen(20);
    await until('he has the rest', () => numbers(back.events).length === 670, 60_000);
    expect(numbers(back.events)).toEqual(upTo(from + 673, from + 3));
    await back.close();
  }, 90_000);

  it('tell the user how his published commands ended', async () => {
    const reader = await new Reader(await lastSeq()).open();
    const publish = async (key: string, operation: string, input: object): Promise<void> => {
      const sent = headers();
      sent.set('Idempotency-Key', key);
      await jetstream(nats).publish(`tok.v1.user.admin.cmd.${operation}`, JSON.stringify(input), { headers: sent });
    };
    await publish('good', 'gateway.event-feed.create', { leaseMs: 5_000 });
    await publish('bad', 'monitoring.webhook.delete', { webhookId: newUuid() });
    const outcome = (key: string) => reader.events.find(({ source, data }) => source === 'gateway' && data['idempotencyKey'] === key);
    await until('both outcomes are told', () => outcome('good') !== undefined && outcome('bad') !== undefined);
    expect([outcome('good')?.name, outcome('bad')?.name]).toEqual(['gateway.command.accepted', 'gateway.command.refused']);
    expect(outcome('bad')?.data['error']).toMatchObject({ code: 'NOT_FOUND' });
    await reader.close();
  }, 60_000);
});

// A world for tests of webhooks: the real tables, a receiver on this machine that can be told how to behave, and users as auth
// would tell of them.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { DataSource } from 'typeorm';
import { createWebhook, replayWebhook, updateWebhook, type Actor, type EventEnvelope, type InputOf, type ReplyOf, type RequestOf, type resolveHolder, type Webhook } from '#contracts';
import { openDatabase, selectRow, selectRows, tasksMigrations, transaction } from '#database';
import { failed, ok, orThrow, sleep } from '#kernel';
import { contextOf, makeTestSchema, silentTaskLog, type TestSchema } from '#testing';
import { monitoringTables } from '../../monitoring.definition.ts';
import { logNews } from '../event/event.reader.ts';
import { logEvents } from '../event/event.store.ts';
import { event } from '../monitoring.fixture.ts';
import { keepScopes } from '../scope/scope.store.ts';
import { TaskWaiters } from '../task/task.waiters.ts';
import { networks } from './address.ts';
import { WebhookPost } from './webhook-post.client.ts';
import { WebhookCommands } from './webhook.commands.ts';
import { findWebhook, type StoredWebhook } from './webhook.store.ts';
import { WebhookSender, type SenderParts } from './webhook.worker.ts';

export interface Received { readonly id: string; readonly headers: IncomingMessage['headers']; readonly text: string; readonly body: { test: boolean; after: number; position: number; events: { globalSeq: number; name: string }[] } }
type Behaviour = (request: Received, response: ServerResponse) => void;

/** Takes what is posted; on one port, also after it was killed and started again. */
export class Receiver {
  readonly received: Received[] = [];
  private server: Server | undefined;
  private port = 0;
  behave: Behaviour = (_request, response) => { response.writeHead(204).end(); };

  get url(): string {
    return `http://127.0.0.1:${this.port}/hook`;
  }

  /** Numbers of the events of what was taken, in the order of taking. */
  get seqs(): number[] {
    return this.received.flatMap(({ body }) => body.events.map(({ globalSeq }) => globalSeq));
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => { void this.take(request, response); });
    await new Promise<void>((resolve) => { server.listen(this.port, '127.0.0.1', resolve); });
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
  }

  async kill(): Promise<void> {
    const { server } = this;
    if (server === undefined) return;
    this.server = undefined;
    server.closeAllConnections();
    await new Promise((resolve) => { server.close(resolve); });
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const text = Buffer.concat(parts).toString();
    const received: Received = { id: String(request.headers['webhook-id']), headers: request.headers, text, body: JSON.parse(text) as Received['body'] };
    this.received.push(received);
    this.behave(received, response);
  }
}

export class WebhookWorld {
  /** What auth says; missing = disabled or gone. */
  readonly users = new Map<string, Actor>();
  authIsAway = false;
  readonly waiters = new TaskWaiters();
  readonly key = Buffer.alloc(32, 5);
  readonly commands: WebhookCommands;
  private readonly ends: (() => Promise<void>)[] = [];

  readonly post = new WebhookPost(networks(['127.0.0.0/8']), 400);

  private constructor(readonly db: DataSource, private readonly schema: TestSchema) {
    this.commands = new WebhookCommands(db, this.key, this.post, this.waiters);
  }

  static async open(name: string): Promise<WebhookWorld> {
    const schema = await makeTestSchema(name);
    return new WebhookWorld(await openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...monitoringTables], name }), schema);
  }

  async close(): Promise<void> {
    await this.stop();
    await this.db.destroy();
    await this.schema.drop();
  }

  async clear(): Promise<void> {
    await this.stop();
    for (const table of ['event_log', 'object_scope', 'webhook', 'webhook_delivery', 'outbox', 'relay_lease']) await this.db.query(`DELETE FROM ${table}`);
    await this.db.query('UPDATE event_sequence SET first_seq = last_seq + 1, kept_bytes = 0');
    this.users.clear();
    this.authIsAway = false;
  }

  /** A process that delivers, until `stop` or its own end. */
  start(over: Partial<SenderParts> = {}): { readonly sender: WebhookSender; readonly end: () => Promise<void> } {
    const stopping = new AbortController();
    const sender = new WebhookSender({ db: this.db, bus: this.bus, waiters: this.waiters, post: this.post, key: this.key, log: silentTaskLog, patienceMs: 3_600_000, ...over });
    const running = (async () => {
      while (!stopping.signal.aborted) {
        await sender.deliver(stopping.signal);
        await sleep(50, stopping.signal);
      }
    })();
    const end = async (): Promise<void> => {
      stopping.abort();
      await running;
    };
    this.ends.push(end);
    return { sender, end };
  }

  async stop(): Promise<void> {
    await Promise.all(this.ends.splice(0).map((end) => end()));
  }

  get bus(): SenderParts['bus'] {
    return {
      request: ((_operation: unknown, { holder }: InputOf<typeof resolveHolder>) => {
        const actor = this.users.get(holder.id);
        if (this.authIsAway) return Promise.resolve(failed({ code: 'UNAVAILABLE', detail: '' }));
        return Promise.resolve(actor === undefined ? failed({ code: 'UNAUTHENTICATED', detail: '' }) : ok({ actor, actorToken: '' }));
      }) as SenderParts['bus']['request'],
    };
  }

  async told(...events: EventEnvelope[]): Promise<void> {
    await transaction(this.db, async (tx) => {
      await logEvents(tx, events);
      await keepScopes(tx, events);
    });
    this.waiters.wake(logNews);
  }

  happen(count = 1, over: Partial<EventEnvelope> = {}): Promise<void> {
    return this.told(...Array.from({ length: count }, () => event(over)));
  }

  async make(owner: Actor, input: Omit<RequestOf<typeof createWebhook>, 'name'> & { name?: string }): Promise<ReplyOf<typeof createWebhook>> {
    this.users.set(owner.userId, owner);
    return orThrow(await this.commands.create(createWebhook.input.parse({ name: 'hook', ...input }), contextOf({ actor: owner })));
  }

  async change(who: Actor, input: RequestOf<typeof updateWebhook>): Promise<Webhook> {
    return orThrow(await this.commands.update(updateWebhook.input.parse(input), contextOf({ actor: who })));
  }

  async replay(who: Actor, webhookId: string, after: number): Promise<Webhook> {
    return orThrow(await this.commands.replay(replayWebhook.input.parse({ webhookId, after }), contextOf({ actor: who })));
  }

  /** Those that run are waited for no longer. */
  forget(): void {
    this.ends.length = 0;
  }

  async find(id: string): Promise<StoredWebhook['shown']> {
    const found = await findWebhook(this.db, id);
    if (found === undefined) throw new Error('there is no such webhook');
    return found.shown;
  }

  async deliveries(id: string): Promise<{ id: string; state: string; tries: number }[]> {
    return selectRows<{ id: string; state: string; tries: number }>(this.db, 'SELECT id, state, tries FROM webhook_delivery WHERE webhook_id = ? ORDER BY created_at, id', [id]);
  }

  /** States that events have told of, in order. */
  async states(): Promise<string[]> {
    const rows = await selectRows<{ event: string }>(this.db, "SELECT event FROM outbox WHERE subject LIKE 'tok.v1.evt.monitoring.webhook.changed.%' ORDER BY id");
    return rows.map(({ event: text }) => (JSON.parse(text) as { data: { webhook: { state: string } } }).data.webhook.state);
  }

  async lastSeq(): Promise<number> {
    return Number((await selectRow<{ last_seq: number }>(this.db, 'SELECT last_seq FROM event_sequence'))?.last_seq);
  }
}

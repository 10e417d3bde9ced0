// A pool without machines for tests of services: a NATS of its own, a schema per service, keys that sign actors, and
// hosts that compute would know of.
import { randomBytes } from 'node:crypto';
import { connect, headers } from '@nats-io/transport-node';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import mysql from 'mysql2/promise';
import { startNatsServer, testDir, until } from '#testing';
import type { TestNats } from '#testing';
import { BusClient } from '#bus';
import type { serviceConfig } from '#config';
import { endStates, foldersBelow, listHosts, signingKeys } from '#contracts';
import type { Actor, HostId, InputOf, Operation, Permission, Plan, ReplyOf, RequestOf, storageTask, Task } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { startService } from '#service';
import type { RunningService, TaskService } from '#service';
import { FakeHost, FakeWorld } from './fake-host.fixture.ts';

export { startNatsServer, testDir };
export type { TestNats };

type Service = TaskService<typeof serviceConfig>;

export class Pool {
  readonly world = new FakeWorld();
  readonly hosts: FakeHost[] = [];
  readonly services: RunningService[] = [];
  /** Folders that there are, each with itself and all below it. */
  readonly folders = new Map<string, readonly string[]>();
  private readonly schemas = new Map<string, string>();
  private key: Awaited<ReturnType<typeof generateKeyPair>>['privateKey'] | undefined;

  private constructor(private readonly server: TestNats, private readonly nats: NatsConnection, readonly bus: BusClient, private readonly sql: mysql.Connection) {}

  static async started(definitions: readonly Service[], hosts: number): Promise<Pool> {
    const server = await startNatsServer(testDir());
    const nats = await connect({ servers: server.url });
    const sql = await mysql.createConnection({ uri: process.env['TOK_TEST_MYSQL_URL'] ?? '', timezone: 'Z' });
    const pool = new Pool(server, nats, new BusClient({ connection: nats, service: 'compute' }), sql);
    await pool.playAuth();
    for (let index = 0; index < hosts; index++) pool.hosts.push(await FakeHost.started(newUuid(), pool.world, nats));
    for (const definition of definitions) await pool.start(definition);
    return pool;
  }

  /** A further replica when it runs already. */
  async start(definition: Service): Promise<RunningService> {
    const schema = this.schemas.get(definition.name) ?? `test_${definition.name}_${randomBytes(5).toString('hex')}`;
    if (!this.schemas.has(definition.name)) await this.sql.query(`CREATE DATABASE ${schema} CHARACTER SET utf8mb4`);
    this.schemas.set(definition.name, schema);
    const url = new URL(process.env['TOK_TEST_MYSQL_URL'] ?? '');
    url.pathname = `/${schema}`;
    const env = { TOK_NATS_URL: this.server.url, TOK_MYSQL_URL: url.href, TOK_REDIS_URL: process.env['TOK_TEST_REDIS_URL'] ?? '', TOK_LOG_LEVEL: process.env['TOK_TEST_LOG'] ?? 'fatal', TOK_DRIFT_EVERY_MS: '3600000' };
    const service = await startService(definition, { env, ownsProcess: false });
    this.services.push(service);
    if (definition.name !== 'templates') await this.hostsAre('connected', this.hosts.map((host) => host.id), definition.name);
    return service;
  }

  /** What compute's events would have told. */
  async hostsAre(state: string, hostIds: readonly string[], ...names: string[]): Promise<void> {
    for (const name of names) {
      for (const id of hostIds) await this.rows(name, 'INSERT INTO host (id, state, host_version) VALUES (?, ?, 1) ON DUPLICATE KEY UPDATE state = ?', [id, state, state]);
    }
  }

  async rows<T>(service: string, statement: string, params: unknown[] = []): Promise<T[]> {
    await this.sql.query(`USE ${this.schemas.get(service) ?? ''}`);
    const [rows] = await this.sql.query(statement, params);
    return rows as T[];
  }

  host(index: number): FakeHost {
    const host = this.hosts[index];
    if (host === undefined) throw new Error(`there is no host ${index}`);
    return host;
  }

  get hostIds(): HostId[] {
    return this.hosts.map((host) => host.id as HostId);
  }

  /** Answers for another service. */
  answer<O extends Operation>(operation: O, reply: (input: InputOf<O>) => ReplyOf<O>): void {
    this.nats.subscribe(operation.subject, { callback: (_error, message) => { message.respond(JSON.stringify(reply(operation.input.parse(message.json()) as InputOf<O>))); } });
  }

  /** Asks as a service; commands carry a fresh key. */
  ask<O extends Operation>(operation: O, input: RequestOf<O>, idempotencyKey: string = newUuid()): Promise<Result<ReplyOf<O>>> {
    return this.bus.request(operation, input, { as: 'system', idempotencyKey });
  }

  /** Asks what a command would do, and sees to it that nothing is left of the question in the schema of its owner. */
  async foretold<O extends Operation>(operation: O, input: RequestOf<O>): Promise<Plan> {
    const before = await this.everything(operation.service);
    const plan = orThrow(await this.bus.explain(operation, input, { as: 'system' }));
    if ((await this.everything(operation.service)) !== before) throw new Error(`a dry run of ${operation.name} has left something`);
    return plan;
  }

  /** Leases and positions come and go by themselves. */
  private async everything(service: string): Promise<string> {
    const tables = await this.rows<{ name: string }>(service, 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name');
    const kept = tables.filter(({ name }) => !['relay_lease', 'consumer_position'].includes(name));
    const rows: unknown[] = [];
    for (const { name } of kept) rows.push([name, await this.rows(service, name === 'outbox' ? 'SELECT id, event FROM outbox' : `SELECT * FROM \`${name}\``)]);
    return JSON.stringify([rows, this.hosts.map((host) => [...host.switches]), [...this.world.files]]);
  }

  async must<O extends Operation>(operation: O, input: RequestOf<O>): Promise<ReplyOf<O>> {
    return orThrow(await this.ask(operation, input));
  }

  /** A user with these rights on the site, and how to ask as him. */
  async user(permissions: readonly Permission[], scope: Actor['rights'][number]['scope'] = 'site', scopeId: string | null = null) {
    if (this.key === undefined) throw new Error('auth is not played yet');
    const userId = newUuid();
    const actorToken = await new SignJWT({ handle: 'someone', rights: [{ permissions: [...permissions], scope, scopeId }] })
      .setProtectedHeader({ alg: 'EdDSA', kid: 'k1' }).setSubject(userId).setIssuer('tokamak-auth').setAudience('tokamak-actor').setExpirationTime('5m').sign(this.key);
    const ask = <O extends Operation>(operation: O, input: RequestOf<O>, idempotencyKey: string = newUuid()): Promise<Result<ReplyOf<O>>> => this.bus.request(operation, input, { actorToken, idempotencyKey });
    return { userId, ask };
  }

  /** The end of a task of the service whose operations these are. */
  ended(operations: { readonly get: (typeof storageTask)['get'] | Operation }, ref: { taskId: string }): Promise<Task> {
    return until('the task has ended', async () => {
      const task = (await this.must(operations.get as (typeof storageTask)['get'], { taskId: ref.taskId }));
      return endStates.includes(task.state) ? task : undefined;
    });
  }

  async stop(): Promise<void> {
    for (const service of this.services) await service.stop();
    for (const host of this.hosts) await host.stop();
    await this.nats.close();
    await this.server.stop();
    for (const schema of this.schemas.values()) await this.sql.query(`DROP DATABASE ${schema}`);
    await this.sql.end();
  }

  private answerFolders(message: Msg): void {
    const { folderId } = foldersBelow.input.parse(message.json());
    const folderIds = this.folders.get(folderId);
    if (folderIds !== undefined) {
      message.respond(JSON.stringify({ folderIds }));
      return;
    }
    const refused = headers();
    refused.set('Nats-Service-Error-Code', '404');
    refused.set('Nats-Service-Error', 'NOT_FOUND');
    message.respond(JSON.stringify({ code: 'NOT_FOUND', detail: 'There is no folder with this id.', details: { noun: 'folder', id: folderId }, traceId: null }), { headers: refused });
  }

  private async playAuth(): Promise<void> {
    const { publicKey, privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' });
    this.key = privateKey;
    const answer = JSON.stringify({ keys: [{ kid: 'k1', x: (await exportJWK(publicKey)).x }] });
    this.nats.subscribe(signingKeys.subject, { callback: (_error, message) => { message.respond(answer); } });
    // Compute's list is empty here: hosts are what the test says.
    this.nats.subscribe(listHosts.subject, { callback: (_error, message) => { message.respond('{"items":[],"next":null}'); } });
    this.nats.subscribe(foldersBelow.subject, { callback: (_error, message) => { this.answerFolders(message); } });
  }
}

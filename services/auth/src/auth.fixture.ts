// Starts auth for a test: a schema and a directory of its own, and a client that speaks as a service or as a user.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startNatsServer, testDir, writeNatsSetup } from '#testing';
import type { TestNats } from '#testing';
import type { NatsConnection } from '@nats-io/transport-node';
import mysql from 'mysql2/promise';
import { BusClient, connectBus, silentLog } from '#bus';
import { login, resolveBearer } from '#contracts';
import type { ReplyOf } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { startService } from '#service';
import type { RunningService } from '#service';
import { auth } from '../auth.service.ts';

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export class AuthUnderTest {
  readonly replicas: RunningService[] = [];

  private constructor(readonly env: Readonly<Record<string, string>>, readonly dir: string, readonly sql: mysql.Connection, private readonly server: TestNats, readonly nats: NatsConnection, readonly bus: BusClient, private readonly schema: string) {}

  /** `operator` = on a bus with the product's own configuration, where users can be let in. */
  static async prepare({ operator = false }: { operator?: boolean } = {}): Promise<AuthUnderTest> {
    const schema = `test_auth_${randomBytes(5).toString('hex')}`;
    const url = new URL(process.env['TOK_TEST_MYSQL_URL'] ?? '');
    const sql = await mysql.createConnection({ uri: url.href, timezone: 'Z' });
    await sql.query(`CREATE DATABASE ${schema} CHARACTER SET utf8mb4`);
    await sql.query(`USE ${schema}`);
    url.pathname = `/${schema}`;
    const dir = await mkdtemp(join(tmpdir(), 'tokamak-auth-'));
    const natsDir = testDir();
    const setup = operator ? await writeNatsSetup({ dir: join(natsDir, 'setup'), services: ['auth', 'gateway'], hostIds: [], host: '127.0.0.1', port: -1, storeDir: join(natsDir, 'store') }) : undefined;
    const server = await startNatsServer(natsDir, setup?.configFile);
    const env = {
      ...(setup === undefined ? {} : { TOK_NATS_CREDS: setup.creds['auth'] ?? '', TOK_BUS_AUTHORITY_FILE: setup.authorityFile }),
      TOK_NATS_URL: server.url, TOK_MYSQL_URL: url.href, TOK_DATA_DIR: join(dir, 'data'), TOK_ADMIN_PASSWORD_FILE: join(dir, 'admin.json'), TOK_LOG_LEVEL: 'fatal' };
    const credsFile = setup?.creds['gateway'];
    const nats = await connectBus({ url: server.url, name: 'gateway', log: silentLog, ...(credsFile === undefined ? {} : { credsFile }) });
    return new AuthUnderTest(env, dir, sql, server, nats, new BusClient({ connection: nats, service: 'gateway' }), schema);
  }

  static async started(): Promise<AuthUnderTest> {
    const under = await AuthUnderTest.prepare();
    await under.start();
    return under;
  }

  async start(): Promise<RunningService> {
    const replica = await startService(auth, { env: this.env, ownsProcess: false });
    this.replicas.push(replica);
    return replica;
  }

  /** Ends the NATS server as a power cut would, and starts it again. */
  crashNats(): Promise<void> {
    return this.server.crashAndRestart();
  }

  async admin(): Promise<Credentials> {
    return JSON.parse(await readFile(this.env['TOK_ADMIN_PASSWORD_FILE'] ?? '', 'utf8')) as Credentials;
  }

  async session({ user, password }: Credentials): Promise<ReplyOf<typeof login>> {
    return orThrow(await this.bus.request(login, { user, password }));
  }

  /** The actor token behind an access token, as a door gets it. */
  async actorToken(bearer: string): Promise<string> {
    return orThrow(await this.bus.request(resolveBearer, { bearer }, { as: 'system' })).actorToken;
  }

  /** Call options that speak as this user. */
  async as(credentials: Credentials): Promise<() => { actorToken: string; idempotencyKey: string }> {
    const actorToken = await this.actorToken((await this.session(credentials)).accessToken);
    return () => ({ actorToken, idempotencyKey: newUuid() });
  }

  async rows<T>(statement: string, params: unknown[] = []): Promise<T[]> {
    const [rows] = await this.sql.query(statement, params);
    return rows as T[];
  }

  async end(): Promise<void> {
    for (const replica of this.replicas) await replica.stop();
    await this.nats.close();
    await this.server.stop();
    await this.sql.query(`DROP DATABASE ${this.schema}`);
    await this.sql.end();
    await rm(this.dir, { recursive: true, force: true });
  }
}

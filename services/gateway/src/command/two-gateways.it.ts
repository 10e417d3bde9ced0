// Several gateways before one stream of published commands: they share the work, and when one is killed, or stopped past its time
// and thawed, the others go on with what it had. Whatever happens each command has one effect, one outcome, and one dead letter
// at most. The owner is played, but for what decides: its key, effect and answer are in one transaction of a real database.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { jetstreamManager } from '@nats-io/jetstream';
import mysql from 'mysql2/promise';
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { COMMANDS_STREAM } from '#bus';
import { NotFound, startVm } from '#contracts';
import type { TaskId, VmId } from '#contracts';
import { defineMigration, execute, openDatabase, tasksMigrations } from '#database';
import { newUuid, ok, orThrow } from '#kernel';
import type { RunningService } from '#service';
import { runCommand } from '#tasks';
import { fromSource, makeTestSchema, until } from '#testing';
import type { TestSchema } from '#testing';
import { followedByBoth } from '../../../../test/integration/followed.fixture.ts';
import { GatewayUnderTest, people } from '../gateway.fixture.ts';
import type { Play } from '../gateway.fixture.ts';
import { DeadLetterCommands } from './dead-letter.commands.ts';

/** A crowded machine keeps a process waiting for a second or two: it lives all the same. */
const ackWaitMs = 5_000;
const script = fileURLToPath(new URL('./mortal-taker.fixture.ts', import.meta.url));
let under: GatewayUnderTest;
let beside: RunningService | undefined;
let child: ChildProcess | undefined;
let schema: TestSchema;
let owner: DataSource;
let sql: mysql.Connection;
/** The owner is slow with these keys: its first answer to each comes when the test says so. */
let slow = Promise.withResolvers<undefined>();

const start: Play = async ({ key, input }) => {
  if (key.startsWith('asked-') && under.questions(startVm.name).filter((asked) => asked.key === key).length === 1) await slow.promise;
  return runCommand(owner, { ctx: { actor: people.ann, system: false, caller: null, idempotencyKey: key }, operation: startVm, input: { vmId: input['vmId'] as VmId, discardMemory: false } }, async (tx) => {
    await execute(tx, 'INSERT INTO effect (idem_key) VALUES (?)', [key]);
    return key.includes('refused') ? NotFound.fail('no such VM', { noun: 'vm', id: String(input['vmId']) }) : ok({ taskId: newUuid() as TaskId, objectId: String(input['vmId']) });
  });
};

beforeAll(async () => {
  under = await GatewayUnderTest.prepare({ ackWaitMs });
  schema = await makeTestSchema('compute');
  owner = await openDatabase({ url: schema.url, migrations: [...tasksMigrations, defineMigration('test.0001-effect', ['CREATE TABLE effect (idem_key varchar(128) NOT NULL)'])], name: 'compute' });
  sql = await mysql.createConnection({ uri: under.schema.url, timezone: 'Z' });
  under.play(startVm.name, start);
  await under.startService();
  await under.takesCommands();
});
afterEach(async () => {
  if (child?.exitCode === null) child.kill('SIGKILL');
  child = undefined;
  await beside?.stop();
  beside = undefined;
  under.asked.length = 0;
});
afterAll(async () => {
  await sql.end();
  await under.end();
  await owner.destroy();
  await schema.drop();
});

/** What was told about these keys, in no order: `<key> <event>`. */
async function told(keys: readonly string[]): Promise<string[]> {
  const of = (path: string): string => `JSON_UNQUOTE(JSON_EXTRACT(event, '$.${path}'))`;
  const [rows] = await sql.query<mysql.RowDataPacket[]>(`SELECT CONCAT(${of('data.idempotencyKey')}, ' ', ${of('name')}) AS text FROM outbox WHERE ${of('data.idempotencyKey')} IN (?)`, [keys]);
  return rows.map(({ text }) => String(text)).sort();
}
const endOf = (key: string): string => `${key} gateway.command.${key.includes('refused') ? 'refused' : 'accepted'}`;
async function effects(keys: readonly string[]): Promise<string[]> {
  const rows = await owner.query<{ idem_key: string }[]>('SELECT idem_key FROM effect WHERE idem_key IN (?)', [keys]);
  return rows.map(({ idem_key: key }) => key).sort();
}
const isEmpty = async (): Promise<boolean> => (await (await jetstreamManager(under.nats)).streams.info(COMMANDS_STREAM)).state.messages === 0;

/** Each of them has ended as it must, once. */
async function checkEnds(keys: readonly string[]): Promise<void> {
  await until('the stream is empty', isEmpty, 60_000);
  expect(await told(keys)).toEqual(keys.map(endOf).sort());
  expect(await effects(keys)).toEqual(keys.filter((key) => !key.includes('refused')).sort());
  const letters = orThrow(await under.get(DeadLetterCommands).list({ limit: 500, user: 'ann' }, { actor: people.ann, system: false } as BusContext)).items;
  expect(letters.map(({ idempotencyKey }) => idempotencyKey).filter((key) => keys.includes(key ?? '')).sort()).toEqual(keys.filter((key) => key.includes('refused')).sort());
}
const publish = (key: string): Promise<void> => under.publish('ann', startVm.name, { vmId: newUuid() }, key);
const named = (name: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${name}-${index}`);

/** Says which keys it keeps at their points. */
function spawnTaker(): string[] {
  const standing: string[] = [];
  const args = [...fromSource, script, under.natsUrl, under.schema.url, String(ackWaitMs)];
  child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  child.stdout?.setEncoding('utf8').on('data', (text: string) => standing.push(...text.trim().split('\n')));
  return standing;
}

describe('two gateways', () => {
  it('share what is published; each command has one effect and one outcome, and what is refused lies there once', async () => {
    const other = await under.startBeside();
    beside = other.service;
    const keys = [...named('shared', 160), ...named('refused', 30)];
    const first: string[] = [];
    await followedByBoth(under.nats, 'ann', () => publish(first[first.push(`first-${first.length}`) - 1]!));
    await Promise.all(keys.map((key) => publish(key)));
    await checkEnds([...first, ...keys]);
    const served = async (port: number): Promise<number> => {
      const numbers = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      return [...numbers.matchAll(/^tokamak_commands_requests_total\{[^}]*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
    };
    expect(await served(under.healthPort)).toBeGreaterThan(0);
    expect(await served(beside.healthPort)).toBeGreaterThan(0);
  });

  it.each([['is killed', 'SIGKILL'], ['is stopped past its time and thawed', 'SIGSTOP']] as const)('of which one %s: the other goes on with what it had, at whatever point that was', async (_, signal) => {
    await under.stop();
    const standing = spawnTaker();
    const kept = ['begun', 'answered', 'recording', 'recorded', 'answered-refused'].map((point) => `${point}-${signal}`);
    const asked = `asked-${signal}`;
    slow = Promise.withResolvers();
    for (const key of [...kept, asked]) await publish(key);
    await until('each stands at its point', () => kept.every((key) => standing.includes(key)) && under.questions(startVm.name).some(({ key }) => key === asked));

    await under.startService();
    const plain = named(`plain-${signal}`, 60);
    const publishing = Promise.all(plain.map((key) => publish(key)));
    await until('the others are at work', () => under.questions(startVm.name).length > 10);
    expect(await told(kept)).toEqual([endOf(`recorded-${signal}`)]); // it lives, and says so
    child?.kill(signal);
    await publishing;
    slow.resolve(undefined); // to a door that is not there any more
    await checkEnds([...kept, asked, ...plain]);
    if (signal === 'SIGKILL') return;

    child?.kill('SIGCONT');
    child?.kill('SIGTERM');
    const [code] = (await once(child ?? process, 'exit')) as [number | null];
    expect(code).toBe(0);
    expect(under.questions(startVm.name).filter(({ key }) => key === `begun-${signal}`)).toHaveLength(2); // the thawed one asked too
    await checkEnds([...kept, asked, ...plain]);
  });
});

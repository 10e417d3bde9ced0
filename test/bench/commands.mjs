// The bus as users meet it: how fast published commands are taken in, against a bare publish into a stream of the same kind;
// how long another user waits behind them; small questions at the door; and commands at the door against a bare handler that does
// the same commit. Rounds alternate.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { headers } from '@nats-io/transport-node';
import mysql from 'mysql2/promise';
import { freeze, thaw } from '../../tools/lab.d/faults.mjs';
import { Ear, enterBus, openFeed } from './followers.mjs';
import { median, throughput } from './statistics.mjs';
import { makeUsers } from './users.mjs';

const LANES = 32;
const OBJECTS = 32;
const PUBLISHED = 1_000;
const ASKED = 4_000;
const COMMANDS = 1_000;
const FLOOD = 2_000;
const BEHIND = 9;
const ROUNDS = 3;
const BARE_STREAM = 'BENCH';
/** Of a host that there is not: nobody else answers. */
const BARE_SUBJECT = 'tok.v1.host.bench.published';
/** Only services may publish to inboxes, and nobody but its owner listens there. */
const COMMIT_SUBJECT = '_INBOX.ha.bench-commit';
const DRAINED_WITHIN_MS = 120_000;
const best = (values) => Math.max(...values);

const keyed = () => {
  const found = headers();
  found.set('Idempotency-Key', randomUUID());
  return found;
};

/** Every answer must be one, and no refusal. */
async function asked(nats, subject, body, options = {}) {
  const answer = await nats.request(subject, body, { timeout: 30_000, ...options });
  if (answer.headers?.get('Nats-Service-Error') || answer.headers?.code >= 400) throw new Error(`${subject}: ${answer.string() || answer.headers}`);
  return answer;
}

/** Acknowledged by JetStream. */
async function publish(nats, subject, body) {
  const answer = await asked(nats, subject, body, { headers: keyed() });
  if (answer.json().error) throw new Error(`${subject}: ${answer.string()}`);
}

async function drained(manager) {
  for (const end = performance.now() + DRAINED_WITHIN_MS; performance.now() < end; await sleep(50)) {
    if ((await manager.streams.info('COMMANDS')).state.messages === 0) return;
  }
  throw new Error(`published commands are not carried out within ${DRAINED_WITHIN_MS} ms`);
}

/** Nothing is carried out meanwhile: published commands wait in the stream, as they do while services are down. */
async function withoutGateway(lab, measure) {
  freeze(lab, 'gateway');
  try {
    return await measure();
  } finally {
    thaw(lab, 'gateway');
  }
}

async function intake(lab, service, bus, user, folders) {
  const manager = await jetstreamManager(service);
  const { config } = await manager.streams.info('COMMANDS');
  await manager.streams.add({ ...config, name: BARE_STREAM, subjects: [BARE_SUBJECT], deny_purge: false });
  const [published, waiting, bare] = [[], [], []];
  let turn = 0;
  const body = () => JSON.stringify({ folderId: folders[turn++ % folders.length], description: `published ${turn}` });
  const publishAll = () => throughput(PUBLISHED, LANES, () => publish(bus.nats, `tok.v1.user.${user}.cmd.compute.folder.update`, body()));
  try {
    for (let round = 0; round < ROUNDS; round++) {
      bare.push(await throughput(PUBLISHED, LANES, () => publish(service, BARE_SUBJECT, body())));
      published.push(await publishAll());
      await drained(manager);
      waiting.push(await withoutGateway(lab, publishAll));
      await drained(manager);
    }
  } finally {
    await manager.streams.delete(BARE_STREAM);
  }
  return { published: best(published), waiting: best(waiting), bare: best(bare) };
}

/** One user's published commands, one after another until each has its outcome: alone, and while another has very many waiting. ms each. */
async function beside(lab, record, rest, service, bus, folders) {
  const manager = await jetstreamManager(service);
  const url = `http://127.0.0.1:${lab.ports.http}`;
  const [other] = await makeUsers(rest, url, 'administrator', 1);
  const mine = await enterBus(record.nats.url, other.rest, other.handle);
  const heard = new Map();
  const leave = await openFeed(mine, { filter: { names: ['gateway.command.accepted'] } }, new Ear('gateway.command.accepted', ({ data }) => heard.get(data.idempotencyKey)?.()));
  let turn = 0;
  const body = () => JSON.stringify({ folderId: folders[turn++ % folders.length], description: `beside ${turn}` });
  const outcome = async () => {
    const key = keyed();
    const started = performance.now();
    const told = new Promise((resolve) => heard.set(key.get('Idempotency-Key'), resolve));
    await asked(mine.nats, `tok.v1.user.${other.handle}.cmd.compute.folder.update`, body(), { headers: key });
    await told;
    return performance.now() - started;
  };
  const outcomes = async () => {
    const times = [];
    for (let count = 0; count < BEHIND; count++) times.push(await outcome());
    return median(times);
  };
  try {
    await outcome(); // the gateway learns of the user
    const alone = await outcomes();
    await throughput(FLOOD, LANES, () => publish(bus.nats, `tok.v1.user.${record.admin.user}.cmd.compute.folder.update`, body()));
    const behind = await outcomes();
    const { messages } = (await manager.streams.info('COMMANDS')).state;
    if (messages === 0) throw new Error('the flood had run off before the others had their outcomes');
    await drained(manager);
    return { alone, behind };
  } finally {
    await leave();
    await mine.nats.close();
    await rest.delete(`/v1/users/${other.id}`);
  }
}

async function commands(lab, record, dist, service, bus, user, folders) {
  const sql = await mysql.createConnection({ uri: record.mysql.urls.compute, multipleStatements: true });
  await sql.query(`CREATE TABLE bench_command (idem_key char(36) NOT NULL PRIMARY KEY, reply text NOT NULL);
    CREATE TABLE bench_object (id char(36) NOT NULL PRIMARY KEY, description text NOT NULL); CREATE TABLE bench_event (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, event text NOT NULL)`);
  await sql.query('INSERT INTO bench_object (id, description) VALUES ?', [folders.map((id) => [id, ''])]);
  const handler = spawn(lab.node, [join(import.meta.dirname, 'commit-responder.mjs'), dist, record.nats.url, record.nats.creds.ha, COMMIT_SUBJECT, record.mysql.urls.compute], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [measured, bare] = [[], []];
  let turn = 0;
  const next = () => folders[turn++ % folders.length];
  try {
    await once(handler.stdout, 'data');
    for (let round = 0; round < ROUNDS; round++) {
      bare.push(await throughput(COMMANDS, LANES, () => asked(service, COMMIT_SUBJECT, JSON.stringify({ key: randomUUID(), id: next(), text: `change ${turn}` }))));
      measured.push(await throughput(COMMANDS, LANES, () => asked(bus.nats, `tok.v1.user.${user}.req.compute.folder.update`, JSON.stringify({ folderId: next(), description: `change ${turn}` }), { headers: keyed() })));
    }
  } finally {
    handler.kill();
    await sql.query('DROP TABLE bench_command; DROP TABLE bench_object; DROP TABLE bench_event');
    await sql.end();
  }
  return { measured: best(measured), bare: best(bare) };
}

export async function benchCommands(lab, record, rest, dist) {
  const { connectBus, silentLog } = await import(join(dist, 'libs/bus/src/index.js'));
  const service = await connectBus({ url: record.nats.url, credsFile: record.nats.creds.compute, name: 'bench', log: silentLog });
  const { user } = record.admin;
  const bus = await enterBus(record.nats.url, rest, user);
  const folders = [];
  try {
    for (let index = 0; index < OBJECTS; index++) folders.push((await rest.post('/v1/folders', { name: `bench-${Date.now().toString(36)}-${index}` })).id);
    const taken = await intake(lab, service, bus, user, folders);
    const { alone, behind } = await beside(lab, record, rest, service, bus, folders);
    let turn = 0;
    const questions = [];
    for (let round = 0; round < ROUNDS; round++) questions.push(await throughput(ASKED, LANES, () => asked(bus.nats, `tok.v1.user.${user}.req.compute.folder.get`, JSON.stringify({ folderId: folders[turn++ % folders.length] }))));
    const carried = await commands(lab, record, dist, service, bus, user, folders);
    return [
      { what: `published commands taken in (${LANES} at once), while the gateway carries them out`, measured: taken.published, limit: taken.bare, unit: 'publishes/s', limitText: 'bare publish into a stream of the same settings', ratio: taken.published / taken.bare, target: { least: 0.6 } },
      { what: `the same, while nothing is carried out (the gateway stands still)`, measured: taken.waiting, limit: taken.bare, unit: 'publishes/s', limitText: 'bare publish into a stream of the same settings', ratio: taken.waiting / taken.bare, target: { least: 0.6 } },
      { what: `a published command of one user until its outcome, while another one’s ${FLOOD} wait`, measured: behind, limit: alone, unit: 'ms', limitText: 'the same with nobody else', ratio: behind / alone, target: { mostMeasured: 1_000 } },
      { what: `small questions at the bus door (folder get, ${OBJECTS} objects, ${LANES} at once)`, measured: best(questions), limit: null, unit: 'requests/s', limitText: 'none', ratio: null, target: { leastMeasured: 3_000 } },
      { what: `commands at the bus door (folder update, ${LANES} at once), accepted and committed`, measured: carried.measured, limit: carried.bare, unit: 'commands/s', limitText: 'bare handler with the same commit', ratio: carried.measured / carried.bare, target: { leastMeasured: 400, orLeast: 0.5 } },
    ];
  } finally {
    for (const id of folders) await rest.delete(`/v1/folders/${id}`).catch(() => undefined);
    await bus.nats.close();
    await service.close();
  }
}

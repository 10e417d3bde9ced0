// Events: from an owner's commit to whoever follows; a thousand followers at once, half on streams and half on feeds of the bus,
// and what each of them misses; and how fast a long past is replayed.
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import mysql from 'mysql2/promise';
import { Ear, enterBus, openFeed, openStream } from './followers.mjs';
import { percentile } from './statistics.mjs';
import { makeUsers } from './users.mjs';

const fromEnv = (name, preset) => Number(process.env[name] ?? preset);
export const eventSizes = {
  changes: fromEnv('TOK_BENCH_EVENT_CHANGES', 300),
  subscribers: fromEnv('TOK_BENCH_EVENT_SUBSCRIBERS', 1_000),
  perSecond: fromEnv('TOK_BENCH_EVENT_RATE', 200),
  seconds: fromEnv('TOK_BENCH_EVENT_SECONDS', 15),
  replayed: fromEnv('TOK_BENCH_EVENT_REPLAY', 200_000),
};
const MILLION = 1_000_000;
/** Of a user, at each of the two doors. */
const MOST_OF_ONE = 20;
const TICK = 'compute.bench.ticked';
const PAST = 'compute.bench.passed';
const none = { limit: null, limitText: 'none', ratio: null };
const admin = (record) => record.admin.user;

async function until(what, look, withinMs) {
  for (const end = performance.now() + withinMs; performance.now() < end; await sleep(20)) if (await look()) return;
  throw new Error(`not within ${withinMs} ms: ${what}`);
}

/** Folders renamed through REST one after another; the event has the time of its transaction. */
async function latency({ rest, url, record, sizes }) {
  const [streamed, fed] = [[], []];
  const name = 'compute.folder.changed';
  const streamEar = new Ear(name, (block) => { streamed.push(Date.now() - Date.parse(/"at":"([^"]+)"/.exec(block)[1])); });
  const feedEar = new Ear(name, ({ at }) => { fed.push(Date.now() - Date.parse(at)); });
  const bus = await enterBus(record.nats.url, rest, admin(record));
  const endings = [await openStream({ url, token: rest.token }, streamEar), await openFeed(bus, {}, feedEar)];
  const folder = await rest.post('/v1/folders', { name: `bench-${Date.now()}` });
  try {
    for (let change = 0; change < sizes.changes; change++) {
      await rest.patch(`/v1/folders/${folder.id}`, { description: `change ${change}` });
      await sleep(20);
    }
    await until('all changes are heard', () => streamed.length > sizes.changes && fed.length > sizes.changes, 20_000);
  } finally {
    await rest.delete(`/v1/folders/${folder.id}`);
    for (const end of endings) await end();
    await bus.nats.close();
  }
  return [['a stream over HTTP', streamed], ['a feed on the bus', fed]].flatMap(([who, times]) => [
    { what: `event from commit to ${who}, p50 of ${times.length}`, measured: percentile(times, 0.5), unit: 'ms', ...none, target: { mostMeasured: 20 } },
    { what: `the same, p99`, measured: percentile(times, 0.99), unit: 'ms', ...none, target: { mostMeasured: 100 } },
  ]);
}

/** Events as a service writes them, straight into its outbox: what is measured begins behind it. */
async function tick(sql, perSecond, seconds) {
  const each = Math.max(1, Math.round(perSecond / 20));
  const started = performance.now();
  let sent = 0;
  for (let turn = 0; turn < seconds * 20; turn++) {
    const rows = Array.from({ length: each }, () => {
      const objectId = randomUUID();
      return [randomUUID(), `tok.v1.evt.${TICK}.${objectId}`, JSON.stringify({ id: randomUUID(), at: new Date().toISOString(), source: 'compute', name: TICK, version: 1, noun: 'bench', objectId, actor: null, traceId: null, taskId: null, data: { n: sent++, text: 'x'.repeat(200) } }), new Date()];
    });
    await sql.query('INSERT INTO outbox (event_id, subject, event, created_at) VALUES ?', [rows]);
    await sleep(Math.max(0, (turn + 1) * 50 - (performance.now() - started)));
  }
  return { sent, tookS: (performance.now() - started) / 1_000 };
}

async function crowd({ rest, url, record, sizes }) {
  const users = await makeUsers(rest, url, 'viewer', Math.max(1, Math.ceil(sizes.subscribers / 2 / MOST_OF_ONE)));
  const sql = await mysql.createConnection({ uri: record.mysql.urls.compute, timezone: 'Z' });
  const [endings, busses] = [[], []];
  const ears = { streams: [], feeds: [] };
  try {
    for (const user of users) {
      const bus = await enterBus(record.nats.url, user.rest, user.handle);
      busses.push(bus);
      const mine = Math.min(MOST_OF_ONE, sizes.subscribers / 2 - ears.streams.length);
      for (let one = 0; one < mine; one++) {
        ears.streams.push(new Ear(TICK));
        endings.push(await openStream({ url, token: user.token }, ears.streams.at(-1)));
        ears.feeds.push(new Ear(TICK));
        endings.push(await openFeed(bus, { filter: { names: [TICK] } }, ears.feeds.at(-1)));
      }
    }
    const all = [...ears.streams, ...ears.feeds];
    const { sent, tookS } = await tick(sql, sizes.perSecond, sizes.seconds);
    const endedAt = performance.now();
    await until('everybody has heard everything', () => all.every(({ heard }) => heard >= sent), 120_000).catch(() => undefined); // what is missing is counted
    const behindMs = performance.now() - endedAt;
    const missing = (who) => who.reduce((sum, { heard }) => sum + Math.max(0, sent - heard), 0);
    const wrong = all.reduce((sum, { heard, outOfOrder }) => sum + outOfOrder + Math.max(0, heard - sent), 0);
    const what = `${ears.streams.length} streams and ${ears.feeds.length} feeds at ${Math.round(sent / tookS)} events/s for ${Math.round(tookS)} s`;
    return [
      { what: `${what}: events that somebody missed (${missing(ears.streams)} of streams, ${missing(ears.feeds)} of feeds), or heard twice or out of order (${wrong})`, measured: missing(all) + wrong, unit: 'events', ...none, target: { mostMeasured: 0 } },
      { what: 'the same: until the last of them has the last event, after it was written', measured: behindMs / 1_000, unit: 's', ...none, target: {} },
    ];
  } finally {
    for (const end of endings) await Promise.resolve(end()).catch(() => undefined); // goes with its user anyway
    for (const { nats } of busses) await nats.close();
    for (const { id } of users) await rest.delete(`/v1/users/${id}`);
    await sql.end();
  }
}

/** A past as rows of the log, and gone again afterwards. Rows of half a kilobyte, as most are. */
async function fillLog(sql, count) {
  await sql.beginTransaction();
  const [[{ last_seq: last }]] = await sql.query('SELECT last_seq FROM event_sequence WHERE singleton = 1 FOR UPDATE');
  await sql.query(`INSERT INTO event_log (global_seq, event_id, source, name, object_id, subject_id, actor_id, owner_id, at, event, bytes)
    SELECT ? + seq, UUID(), 'compute', ?, CONCAT('bench-', MOD(seq, 1000)), CONCAT('bench-', MOD(seq, 1000)), NULL, NULL, UTC_TIMESTAMP(3),
      CONCAT('{"id":"', UUID(), '","at":"2026-01-01T00:00:00.000Z","source":"compute","seq":', seq, ',"name":"${PAST}","version":1,"noun":"bench","objectId":"bench-', MOD(seq, 1000), '","actor":null,"traceId":null,"taskId":null,"data":{"text":"', REPEAT('x', 300), '"}}'), 500
    FROM seq_1_to_${count}`, [Number(last), PAST]);
  await sql.query('UPDATE event_sequence SET last_seq = last_seq + ? WHERE singleton = 1', [count]);
  await sql.commit();
  return Number(last);
}

async function replay({ rest, url, record, sizes }) {
  const sql = await mysql.createConnection({ uri: record.mysql.urls.monitoring, timezone: 'Z' });
  const bus = await enterBus(record.nats.url, rest, admin(record));
  try {
    const after = await fillLog(sql, sizes.replayed);
    const timed = async (open) => {
      const done = Promise.withResolvers();
      const ear = new Ear(PAST, () => { if (ear.heard === sizes.replayed) done.resolve(); });
      const started = performance.now();
      const end = await open(ear);
      await Promise.race([done.promise, sleep(300_000, undefined, { ref: false }).then(() => { throw new Error(`${ear.heard} of ${sizes.replayed} events were replayed within 300 s`); })]);
      const took = performance.now() - started;
      await end();
      if (ear.outOfOrder > 0) throw new Error(`${ear.outOfOrder} events were replayed out of order`);
      return took;
    };
    const ways = [['a stream over HTTP', (ear) => openStream({ url, token: rest.token, after }, ear)], ['a feed on the bus', (ear) => openFeed(bus, { after }, ear)]];
    const rows = [];
    for (const [who, open] of ways) {
      const ms = await timed(open);
      rows.push({ what: `replay of 1,000,000 events to ${who}, at the rate of ${sizes.replayed} (${Math.round((sizes.replayed * 1_000) / ms)} events/s)`, measured: (ms / 1_000) * (MILLION / sizes.replayed), unit: 's', ...none, target: { mostMeasured: 60 } });
    }
    return rows;
  } finally {
    await sql.query('DELETE FROM event_log WHERE name = ?', [PAST]);
    await sql.end();
    await bus.nats.close();
  }
}

export async function benchEvents(lab, record, rest, sizes = eventSizes) {
  const scene = { rest, record, sizes, url: `http://127.0.0.1:${lab.ports.http}` };
  return [...(await latency(scene)), ...(await replay(scene)), ...(await crowd(scene))];
}

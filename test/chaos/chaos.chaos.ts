// A chaos run: many mixed commands by all doors while every part of the pool is killed again and again, in an order that a
// seed gives. Afterwards all that was acknowledged has ended, every host has done each command once, and nothing is left.
// `npm run chaos -- --minutes N --seed S`.
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import { deleteDeadLetter, listDeadLetters, updateCluster } from '#contracts';
import type { TaskId } from '#contracts';
import { credentials, enter } from '../e2e/bus-user.ts';
import { eventually } from '../e2e/eventually.ts';
import type { Holdings } from '../e2e/holdings.ts';
import { waitReady } from '../e2e/lab.mjs';
import { openLastingWorld } from '../e2e/lasting-world.ts';
import { roomFor } from '../e2e/vms.ts';
import type { World } from '../e2e/world.ts';
import { rowsOf } from '../faults/kinds.ts';
import { numbersOf } from '../faults/matrix-plan.ts';
import { closeOwners, endsOf, queried } from '../faults/owners.ts';
import { everything } from '../faults/slate.ts';
import { Stage } from '../faults/stage.ts';
import { leftOver, wrongOutcomes, wrongTasks } from './aftermath.ts';
import { agentsOf, Breaker } from './breaker.ts';
import { chaosOptions } from './chaos-options.ts';
import { longOutages, strikes, wishes } from './chaos-plan.ts';
import { deedsOf } from './deeds.ts';
import { doorsOf, PATIENT_MS } from './doors.ts';
import { effectsOf } from './effects.ts';
import type { Told } from './effects.ts';
import { watchGuests } from './guests.ts';
import { JournalWatch } from './journals.ts';
import { Users } from './users.ts';

const options = chaosOptions(process.env['TOK_CHAOS']);
const at = (name: string): string => join(options.dir, name);
const say = (text: string): void => { process.stderr.write(`chaos: ${text}\n`); };
/** Room for guests that only sit there. */
const ROOMY = { cpuOvercommit: 64, memoryOvercommit: 4 };
const spanMs = options.minutes * 60_000;
const MINUTE = 60_000;
/** The longest that anything is away, which users outlast. */
const awayMs = options.outages ? Math.max(...longOutages.map(({ forMs }) => forMs)) : 0;

let world: World;
let stage: Stage;
let bus: NatsConnection;
let journals: JournalWatch;
let before: Holdings;
let since: Date;
let lasting: Awaited<ReturnType<typeof openLastingWorld>>;
let users: Users;
let breaker: Breaker;
const known = new Set<TaskId>();
/** What must be empty, and is not. */
const checks: Record<string, readonly string[]> = {};
const result: Record<string, unknown> = { ...options, when: new Date().toISOString() };

const note = (found: Record<string, unknown>): void => {
  Object.assign(result, found);
  writeFileSync(at('result.json'), JSON.stringify(result, null, 2));
};

beforeAll(async () => {
  mkdirSync(options.dir, { recursive: true });
  lasting = await openLastingWorld('chaos');
  ({ world } = lasting);
  bus = await enter(world, await credentials(world.rest, Math.min(1_440, Math.ceil(2 * options.minutes) + 60)), world.record.admin.user, true);
  stage = new Stage(world);
  await world.rest.ask(updateCluster, { clusterId: world.record.cluster.id, ...ROOMY });
  await roomFor(world, 200);
  before = await everything(world);
  journals = new JournalWatch(world.record.hosts);
  await stage.supply([...Object.values(rowsOf(world)), ...Object.values(rowsOf(world))]);
  since = await databaseTime();
  say(`seed ${options.seed}, ${options.minutes} minutes, ${options.tasks} commands`);
}, 5 * MINUTE);

afterAll(async () => {
  await breaker.end();
  await waitReady(world.lab);
  await stage.clear();
  journals.end();
  await lasting.close();
  await bus.close();
  await closeOwners();
}, 5 * MINUTE);

/** Whose clock gives tasks their times. */
async function databaseTime(): Promise<Date> {
  const [row] = (await queried(world, 'compute', 'SELECT UTC_TIMESTAMP(3) AS now')) as { now: Date }[];
  return row!.now;
}

/** Fails the test with what is wrong, and keeps what is needed to understand it. */
function none(what: string, wrong: readonly string[]): void {
  checks[what] = wrong;
  note({ checks });
  if (wrong.length > 0) {
    cpSync(world.lab.paths.log, at('log'), { recursive: true });
    writeFileSync(at('journals.json'), JSON.stringify([...journals.told]));
    say(`${what}: ${wrong.slice(0, 20).join('; ')}`);
  }
  expect(wrong).toEqual([]);
}

const counted = (words: readonly string[]): Record<string, number> => Object.fromEntries([...Map.groupBy(words, (word) => word)].map(([word, all]) => [word, all.length] as const).sort(([a], [b]) => (a < b ? -1 : 1)));

describe('what counts effects', () => {
  const told = (records: readonly Partial<Told>[]) => effectsOf(new Map([['host1', records.map((record, index): Told => ({ type: 'intent', at: index, commandId: 'c', ...record }))]]));
  const result = { type: 'result', outcome: { ok: true } } as const;

  it('takes one effect for one, however often the journal repeats it and the agent begins anew', () => {
    expect(told([{}, { type: 'dropped' }, {}, { ...result, at: 7 }, { ...result, at: 7 }])).toEqual({ once: 1, refused: 0, dropped: 0, wrong: [] });
    expect(told([{}, { type: 'result', outcome: { ok: false } }])).toMatchObject({ once: 0, refused: 1 });
  });
  it('finds a second effect, one begun after it, and one without an end', () => {
    expect(told([{}, result, result]).wrong).toHaveLength(1);
    expect(told([{}, result, {}, { type: 'dropped' }]).wrong).toEqual(['host1: a command c was begun again after its effect']);
    expect(told([{}]).wrong).toEqual(['host1: a command c was begun and has no end']);
  });
});

describe(`${options.outages ? 'long outages' : 'chaos'}, seed ${options.seed}`, () => {
  it('commands are given while everything is killed, and each one is acknowledged or refused', async () => {
    breaker = new Breaker(world, at('faults.ndjson'));
    const plan = options.outages ? longOutages : strikes(agentsOf(world), options);
    users = new Users({ world, doors: doorsOf(world, bus, PATIENT_MS + awayMs), wishes: wishes(Object.keys(deedsOf(world, () => Promise.resolve())), options.seed), random: numbersOf(options.seed + 2), count: options.tasks, spanMs: 0.9 * spanMs, file: at('commands.ndjson'), name: () => stage.name() });
    const startedAt = performance.now();
    const [watched] = await Promise.all([options.outages ? watchGuests(world, plan) : undefined, breaker.run(plan), users.work(2 * spanMs + 5 * MINUTE)]);
    await breaker.end();
    await waitReady(world.lab);
    for (const { tasks } of users.done) for (const { taskId } of tasks) known.add(taskId);
    note({
      tookMs: Math.round(performance.now() - startedAt), faults: counted(breaker.struck.map(({ what, victim }) => `${what} ${victim}`)), ownEnds: counted(breaker.ownEnds), refused: counted(users.refused.map(({ deed, code }) => `${deed}: ${code}`)),
      deeds: Object.fromEntries([...Map.groupBy(users.done, ({ deed }) => deed)].map(([deed, all]) => [deed, { doors: counted(all.map(({ door }) => door)), ends: counted(all.map(({ end }) => end)) }] as const)),
      commands: users.done.flatMap(({ sent }) => sent).length, failed: users.done.filter(({ end }) => !['succeeded', 'done'].includes(end)).map(({ deed, door, end, error }) => `${deed} by ${door}: ${end}: ${error ?? ''}`),
    });
    say(`${users.done.length} done, ${users.refused.length} refused, ${breaker.struck.length} faults, ${breaker.ownEnds.length} ended of themselves`);
    none('not answered', users.failures);
    if (watched !== undefined) {
      expect(watched.guests).toBeGreaterThan(0);
      note({ guests: watched.guests });
      none('guests', watched.ended);
    }
    expect(users.done.length).toBeGreaterThanOrEqual(options.tasks);
    expect(breaker.struck).toHaveLength(plan.length);
  }, 4 * spanMs + 15 * MINUTE);

  it('what was acknowledged has one outcome', async () => {
    none('outcomes', await wrongOutcomes(world, users.done));
  }, MINUTE);

  it('every task has ended, and somebody was told of each', async () => {
    await endsOf(world, [...known]);
    const { count, wrong } = await wrongTasks(world, since, known);
    note({ tasksEnded: count });
    none('tasks', wrong);
  }, 4 * MINUTE);

  it('every host has done each command once', async () => {
    await eventually('no command is open', () => { journals.look(); return effectsOf(journals.told).wrong.length === 0; }, { withinMs: 20_000 }).catch(() => undefined);
    const { wrong, ...counts } = effectsOf(journals.told);
    note({ effects: counts });
    expect(counts.once).toBeGreaterThan(users.done.length / 4);
    none('effects', wrong);
  }, MINUTE);

  it('nothing is left over while the pool stands, and all is as it was when it is cleared', async () => {
    none('left over', await leftOver(world));
    await stage.clear();
    const mine = new Set(users.done.flatMap(({ sent }) => sent.map(({ key }) => key)));
    for (const { id, idempotencyKey } of (await world.rest.ask(listDeadLetters, { limit: 500 })).items) if (idempotencyKey === null || !mine.has(idempotencyKey)) await world.rest.ask(deleteDeadLetter, { deadLetterId: id });
    let last: Holdings = before;
    await eventually('all is as it was', async () => {
      last = await everything(world);
      return JSON.stringify(last) === JSON.stringify(before);
    }, { withinMs: MINUTE, everyMs: 500 }).catch(() => undefined);
    none('cleared', Object.keys(last).filter((what) => JSON.stringify(last[what]) !== JSON.stringify(before[what])).map((what) => `${what}: ${JSON.stringify(last[what])} and not ${JSON.stringify(before[what])}`));
    note({ passed: true });
  }, 5 * MINUTE);
});

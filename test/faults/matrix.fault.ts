// The kill matrix: every kind of task held at every step of it, before its work and behind it, while each part of the
// pool is killed, alone and together with each other. Kinds and steps are told by the running services. `npm test` goes
// through a sample in which everything dies once; `npm run test:faults -- --matrix` through the whole.
import { appendFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../e2e/eventually.ts';
import type { Holdings } from '../e2e/holdings.ts';
import { waitReady } from '../e2e/lab.mjs';
import { roomFor } from '../e2e/vms.ts';
import { openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';
import { doneCells, matrixOptions } from './matrix-options.ts';
import { begunBy, kindsOf, withoutRow } from './kinds.ts';
import type { Kinds } from './kinds.ts';
import { cellName, pointAt, pointsOf, sample, turns, whole } from './matrix-plan.ts';
import type { KindSteps, Point, Round, Victims } from './matrix-plan.ts';
import { everything, messageOf, openHolds, reviveAll, runRound } from './matrix-scene.ts';
import type { Outcome } from './matrix-scene.ts';

const options = matrixOptions(process.env['TOK_MATRIX']);
const say = (text: string): void => { process.stderr.write(`matrix: ${text}\n`); };
const CLEAN = 'clean slate';

let world: World;
let registry: KindSteps[];
let holds: Awaited<ReturnType<typeof openHolds>>;
let number = 0;

beforeAll(async () => {
  world = await openWorld('matrix');
  holds = await openHolds(world);
  await roomFor(world, 24);
  registry = holds.kinds().filter(({ kind }) => options.only === null || kind === options.only);
  say(`seed ${options.seed}; ${registry.length} kinds, ${registry.flatMap(pointsOf).length} points`);
}, 120_000);
afterAll(async () => {
  await waitReady(world.lab);
  await holds.close();
}, 180_000);

/** The points of a round; with `skip`, those that were gone through before are left out. */
const pointsFor = ({ index, victims }: Round, wrap: boolean, skip: ReadonlySet<string>): Point[] => registry.flatMap((kind) => {
  const point = pointAt(registry, begunBy, kind, index, wrap);
  return point === undefined || skip.has(cellName(point, victims)) ? [] : [point];
});

function record(outcomes: readonly Outcome[], victims: Victims): void {
  const lines = outcomes.map(({ point, state, why }) => `${JSON.stringify({ ...point, victims, state, why })}\n`);
  if (options.file !== null) appendFileSync(options.file, lines.join(''));
}

/** One round and what it left behind; answers what failed, in words. */
async function strike(round: Round, points: readonly Point[]): Promise<string[]> {
  await reviveAll(world);
  number += 1;
  // Names of its own: what a round that failed could not remove is in no other round's way.
  const own: World = { ...world, prefix: `${world.prefix}-${number}` };
  const kinds = kindsOf(own);
  const before = await everything(own);
  const outcomes = await runRound(own, kinds, holds.dir, { number, points, victims: round.victims })
    .catch((error: unknown) => points.map((point): Outcome => ({ point, state: 'failed', why: messageOf(error) })));
  const left = await leftBehind(kinds, before);
  const slate: Outcome = { point: { kind: CLEAN, step: `round ${round.index}`, place: 'after' }, state: left === null ? 'passed' : 'failed', why: left };
  record([...outcomes, slate], round.victims);
  return [...outcomes, slate].filter(({ state }) => state === 'failed').map(({ point, why }) => `${cellName(point, round.victims)}: ${why ?? ''}`);
}

/** Removes the stage, and says what is there now that was not there before. */
async function leftBehind(kinds: Kinds, before: Holdings): Promise<string | null> {
  try {
    await waitReady(world.lab);
    await kinds.clear();
    let last: Holdings = before;
    await eventually('all is as it was', async () => {
      last = await everything(world);
      return JSON.stringify(last) === JSON.stringify(before);
    }, { withinMs: 45_000, everyMs: 250 }).catch(() => { expect(last).toEqual(before); });
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

describe('F28: the kill matrix', () => {
  it('has a row for every kind that the services run', () => {
    expect(withoutRow(kindsOf(world), registry.map(({ kind }) => kind))).toEqual([]);
  });

  if (options.mode === 'quick') {
    it.each(sample(options.seed).map((round) => [round.victims.join(' and '), round] as const))('%s killed together, every kind at a step of it: each task ends as declared, and nothing is left', async (_, round) => {
      expect(await strike(round, pointsFor(round, true, new Set()))).toEqual([]);
    }, 300_000);
  } else {
    it('as much of it as there was time for: each task ends as declared, and nothing is left', async () => {
      const done = doneCells(options.file);
      const rounds = whole(turns(registry, begunBy), options.seed, options.shard)
        .map((round) => ({ round, points: pointsFor(round, false, done) })).filter(({ points }) => points.length > 0);
      const failures: string[] = [];
      const startedAt = performance.now();
      for (const [at, { round, points }] of rounds.entries()) {
        const minutes = (performance.now() - startedAt) / 60_000;
        if (minutes > options.minutes) break;
        failures.push(...(await strike(round, points)));
        const each = (performance.now() - startedAt) / 60_000 / (at + 1);
        say(`round ${at + 1} of ${rounds.length} (${round.victims.join('+')}, ${points.length} tasks); ${failures.length} failures; the rest takes about ${Math.ceil(each * (rounds.length - at - 1))} min`);
      }
      expect(failures).toEqual([]);
    }, 48 * 3_600_000);
  }
});

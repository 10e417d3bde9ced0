// The kill matrix: every kind of task held at every step of it and of its undo, before its work and behind it, while each
// part of the pool is killed, alone and together with each other. Kinds and steps are told by the running services.
// `npm test` goes through a sample in which everything dies once; `npm run test:faults -- --matrix` through the whole.
import { appendFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { updateCluster } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import type { Holdings } from '../e2e/holdings.ts';
import { waitReady } from '../e2e/lab.mjs';
import { openLastingWorld } from '../e2e/lasting-world.ts';
import { roomFor } from '../e2e/vms.ts';
import type { World } from '../e2e/world.ts';
import { doneCells, matrixOptions, pointNames } from './matrix-options.ts';
import { declaredKinds, rowsOf, withoutRow } from './kinds.ts';
import type { Row } from './kinds.ts';
import { cellName, faultsOf, pointsOf, samplePoints, sampleVictims, whole } from './matrix-plan.ts';
import type { KindSteps, Round, Victims } from './matrix-plan.ts';
import { messageOf, openHolds, reviveAll, runRound } from './matrix-scene.ts';
import type { Outcome } from './matrix-scene.ts';
import { closeOwners } from './owners.ts';
import { everything, looseEnds } from './slate.ts';
import { Stage } from './stage.ts';

const options = matrixOptions(process.env['TOK_MATRIX']);
const say = (text: string): void => { process.stderr.write(`matrix: ${text}\n`); };
const CLEAN = 'clean slate';
/** Room for guests that only sit there. */
const ROOMY = { cpuOvercommit: 64, memoryOvercommit: 4 };

let lasting: Awaited<ReturnType<typeof openLastingWorld>>;
let world: World;
let rows: Readonly<Record<string, Row>>;
let stage: Stage;
let registry: KindSteps[];
let holds: Awaited<ReturnType<typeof openHolds>>;
let before: Holdings;

beforeAll(async () => {
  lasting = await openLastingWorld('matrix');
  ({ world } = lasting);
  rows = rowsOf(world);
  stage = new Stage(world);
  await world.rest.ask(updateCluster, { clusterId: world.record.cluster.id, ...ROOMY });
  holds = await openHolds(world);
  await roomFor(world, 200);
  before = await everything(world);
  registry = holds.kinds().filter(({ kind }) => options.only === null || kind === options.only);
  if (options.file !== null) writeFileSync(join(dirname(options.file), 'plan.json'), JSON.stringify(pointNames(holds.kinds())));
  say(`seed ${options.seed}; ${registry.length} kinds, ${registry.flatMap(pointsOf).length} points`);
}, 120_000);
afterAll(async () => {
  await waitReady(world.lab);
  await stage.clear();
  await holds.close();
  await lasting.close();
  await closeOwners();
}, 240_000);

function record(outcomes: readonly Outcome[], victims: Victims): void {
  const lines = outcomes.map(({ point, state, why }) => `${JSON.stringify({ ...point, victims, state, why })}\n`);
  if (options.file !== null) appendFileSync(options.file, lines.join(''));
}

/** One round and what it left behind; answers what failed, in words. */
async function strike(round: Round): Promise<string[]> {
  const startedAt = performance.now();
  const times: string[] = [];
  const note = (what: string): void => { times.push(`${what} ${((performance.now() - startedAt) / 1_000).toFixed(1)}`); };
  await reviveAll(world);
  const ends = await runRound(world, rows, stage, holds.dir, round, note).catch((error: unknown) => round.points.map((point): Outcome => ({ point, state: 'failed', why: messageOf(error) })));
  const left = await leftBehind();
  note('checked');
  // Which of the tasks has left something over is not known.
  const outcomes = left.length === 0 ? ends : ends.map((outcome): Outcome => (outcome.state === 'passed' ? { ...outcome, state: 'failed', why: `something was left over: ${left[0] ?? ''}` } : outcome));
  const slate: Outcome = { point: { kind: CLEAN, step: 'all', place: 'after' }, state: left.length === 0 ? 'passed' : 'failed', why: left.length === 0 ? null : left.join('; ') };
  record([...outcomes, slate], round.victims);
  const count = (state: Outcome['state']): number => outcomes.filter((outcome) => outcome.state === state).length;
  say(`${round.victims.join('+')} killed, ${round.points.length} tasks: ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped; seconds: ${times.join(', ')}`);
  return [...ends, slate].filter(({ state }) => state === 'failed').map(({ point, why }) => `${cellName(point, round.victims)}: ${why ?? ''}`);
}

/** Services hear of each other's ends a moment later; what is loose after that stays so. */
async function leftBehind(): Promise<string[]> {
  let last: string[] = [];
  await eventually('nothing is loose', async () => {
    last = await looseEnds(world);
    return last.length === 0;
  }, { withinMs: 30_000, everyMs: 250 }).catch((error: unknown) => { if (last.length === 0) last = [messageOf(error)]; });
  return last;
}

function titleOf(victims: Victims): string {
  const shown = [...new Set(victims.flatMap((victim) => faultsOf[victim] ?? []))].sort().map((fault) => `${fault} in part`);
  return `${shown.length === 0 ? '' : `${shown.join(', ')}: `}${victims.join(', ')}`;
}

describe('F28: the kill matrix', () => {
  it('has a row for every kind that the services run, and no other', () => {
    const declared = declaredKinds(world.lab.repo);
    expect(withoutRow(rows, [...declared, ...registry.map(({ kind }) => kind)])).toEqual([]);
    expect(Object.keys(rows).filter((kind) => !declared.includes(kind))).toEqual([]);
  });

  if (options.mode === 'quick') {
    it.each(sampleVictims(options.seed).map((victims, at) => [titleOf(victims), victims, at] as const))('%s killed together, every kind at a step of it: each task ends as declared, and nothing is left', async (_, victims, at) => {
      expect(await strike({ victims, points: samplePoints(registry, options.seed, at) })).toEqual([]);
    }, 300_000);
  } else {
    it('as much of it as there was time for: each task ends as declared, and nothing is left', async () => {
      const done = doneCells(options.file, registry);
      const rounds = whole(registry, options.seed, options.shard, (cell) => done.has(cell), options.most);
      const failures: string[] = [];
      const startedAt = performance.now();
      for (const [at, round] of rounds.entries()) {
        const minutes = (performance.now() - startedAt) / 60_000;
        const each = minutes / Math.max(1, at);
        if (minutes + each > options.minutes) break;
        if (at > 0) say(`round ${at + 1} of ${rounds.length}; ${failures.length} failures; the rest takes about ${Math.ceil(each * (rounds.length - at))} min`);
        failures.push(...(await strike(round)));
      }
      expect(failures).toEqual([]);
    }, 48 * 3_600_000);
  }

  it('leaves everything as it was', async () => {
    await stage.clear();
    let last: Holdings = before;
    await eventually('all is as it was', async () => {
      last = await everything(world);
      return JSON.stringify(last) === JSON.stringify(before);
    }, { withinMs: 45_000, everyMs: 250 }).catch(() => { expect(last).toEqual(before); });
  }, 300_000);
});

// VMs come and go for a while, orphans are put in beside them, and services and agents die: every orphan is found, and nothing of
// what comes and goes is ever a difference. Run by `npm run churn -- --minutes N`; `npm test` has a shorter churn beside the orphans of
// drift.e2e.
import { randomUUID } from 'node:crypto';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { driftServices, repairDrift } from '#contracts';
import type { DriftFinding } from '#contracts';
import { allFindings, churn } from '../e2e/churn.ts';
import { eventually } from '../e2e/eventually.ts';
import { holdings } from '../e2e/holdings.ts';
import type { Holdings } from '../e2e/holdings.ts';
import { agentName, crash, startAgain, waitReady } from '../e2e/lab.mjs';
import { openLastingWorld } from '../e2e/lasting-world.ts';
import { removeOwn, roomFor } from '../e2e/vms.ts';
import type { World } from '../e2e/world.ts';

const MINUTES = Number(process.env['TOK_TEST_CHURN_MINUTES'] ?? 1);
const LANES = 2;
const FOUND_WITHIN_MS = 60_000;

let lasting: Awaited<ReturnType<typeof openLastingWorld>>;
let world: World;
let before: Holdings;
let known: Set<string>;
beforeAll(async () => {
  lasting = await openLastingWorld('churn');
  ({ world } = lasting);
  await roomFor(world, LANES * 2);
  before = await holdings(world);
  known = new Set((await allFindings(world)).map(({ id }) => id));
}, 120_000);
afterAll(async () => {
  await waitReady(world.lab);
  await removeOwn(world);
  await lasting.close();
}, 120_000);

const fresh = async (): Promise<DriftFinding[]> => (await allFindings(world)).filter(({ id }) => !known.has(id));

/** A file that nobody knows: found and moved aside, then deleted for good. */
async function oneOrphan(): Promise<number> {
  const path = `volumes/${randomUUID()}.qcow2`;
  writeFileSync(join(world.record.datastore.path, path), 'nobody knows me');
  const since = performance.now();
  const finding = await eventually(`${path} is found`, async () => (await fresh()).find(({ object, state }) => object.id === path && state === 'quarantined'), { withinMs: FOUND_WITHIN_MS, everyMs: 500 });
  const tookMs = performance.now() - since;
  known.add(finding.id);
  expect(existsSync(join(world.record.datastore.path, path))).toBe(false);
  await world.rest.ask(repairDrift, { findingId: finding.id, confirm: true });
  return tookMs;
}

it(`nothing that lives is a difference in ${MINUTES} minutes of churn, and every orphan is found`, async () => {
  const endsAt = performance.now() + MINUTES * 60_000;
  const victims = [...driftServices, ...world.record.hosts.map(({ name }) => agentName(name))];
  const took: number[] = [];
  const churning = churn(world, LANES, () => performance.now() > endsAt);
  for (let round = 0; performance.now() < endsAt; round++) {
    took.push(await oneOrphan());
    const victim = victims[round % victims.length]!;
    await crash(world.lab, victim);
    startAgain(world.lab, victim);
    await waitReady(world.lab);
    expect((await fresh()).map(({ kind, object, text, state }) => [kind, object.id, text, state])).toEqual([]);
  }
  const { rounds, tasks } = await churning;
  expect(rounds).toBeGreaterThan(0);
  expect((await fresh()).map(({ kind, object, text, state }) => [kind, object.id, text, state])).toEqual([]);
  await eventually('nothing is left', async () => {
    expect(await holdings(world)).toEqual(before);
    return true;
  }, { withinMs: 30_000, everyMs: 1_000 });
  rmSync(join(world.record.datastore.path, '.quarantine'), { recursive: true, force: true });
  const file = process.env['TOK_TEST_CHURN_RESULT'];
  if (file !== undefined) writeFileSync(file, JSON.stringify({ rounds, tasks, kills: took.length, orphans: took.length, slowestMs: Math.max(...took) }));
}, (MINUTES + 5) * 60_000);

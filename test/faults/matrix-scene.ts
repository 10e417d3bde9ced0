// One round of the kill matrix on the lab: a task of every kind held at its point, the kill, and what must hold afterwards.
import { mkdtempSync, readFileSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { taskServices } from '#contracts';
import type { Task, TaskRef, VmState } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import { holdings } from '../e2e/holdings.ts';
import type { Holdings } from '../e2e/holdings.ts';
import { agentName, crash, startAgain, waitReady } from '../e2e/lab.mjs';
import { allQemus, argumentsOf } from '../e2e/qemu.ts';
import { ownVms } from '../e2e/vms.ts';
import type { World } from '../e2e/world.ts';
import { begunBy, mayFailWithoutQemu } from './kinds.ts';
import type { Kinds, Stage } from './kinds.ts';
import { victims } from './matrix-plan.ts';
import type { KindSteps, Point, Victims } from './matrix-plan.ts';

export interface Outcome {
  readonly point: Point;
  readonly state: 'passed' | 'failed' | 'skipped';
  readonly why: string | null;
}

const REACHED_WITHIN_MS = 30_000;
/** Guests that run have one QEMU; the states in between count as neither. */
const qemusFor: Readonly<Partial<Record<VmState, number>>> = { running: 1, paused: 1, stopped: 0, hibernated: 0, failed: 0 };
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Runs the services that work on tasks under a directory of holds, until it is closed. */
export async function openHolds(world: World): Promise<{ dir: string; kinds(): KindSteps[]; close(): Promise<void> }> {
  const dir = mkdtempSync(join(tmpdir(), 'tok-matrix-'));
  const restarted = async (): Promise<void> => {
    await Promise.all(taskServices.map((service) => crash(world.lab, service)));
    for (const service of taskServices) startAgain(world.lab, service);
    await waitReady(world.lab);
  };
  process.env['TOK_TEST_HOLD'] = dir;
  await restarted();
  return {
    dir,
    kinds: () => readdirSync(join(dir, 'kinds')).filter((name) => !/\.\d+$/.test(name)).sort().map((name) => JSON.parse(readFileSync(join(dir, 'kinds', name), 'utf8')) as KindSteps),
    close: async () => {
      delete process.env['TOK_TEST_HOLD'];
      await restarted();
      rmSync(dir, { recursive: true });
    },
  };
}

/** What the pool holds beside what `holdings` sees: locks and numbers that only the databases know. */
export async function everything(world: World): Promise<Holdings> {
  const [seen, ...locks] = await Promise.all([holdings(world), ...taskServices.map((service) => rowsOf(world, service, 'SELECT noun, object_id, task_id FROM task_lock ORDER BY noun, object_id')), rowsOf(world, 'compute', 'SELECT uid FROM vm_uid WHERE vm_id IS NOT NULL ORDER BY uid')]);
  const uids = locks.pop() ?? [];
  return { ...seen, ...Object.fromEntries(taskServices.map((service, at) => [`locks of ${service}`, locks[at] ?? []])), uids };
}

async function rowsOf({ record }: World, service: string, query: string): Promise<string[]> {
  const db = await createConnection(record.mysql.urls[service]!);
  try {
    const [rows] = await db.query(query);
    return (rows as object[]).map((row) => Object.values(row).join(' '));
  } finally {
    await db.end();
  }
}

/** Stages, holds, kills, lets go, starts again, and judges each point. The stage is left for the caller to clear. */
export async function runRound(world: World, kinds: Kinds, holdDir: string, round: { number: number; points: readonly Point[]; victims: Victims }): Promise<Outcome[]> {
  const { number, victims: killed } = round;
  // A parent that is held has no child to hold.
  const parents = new Set(round.points.flatMap(({ kind }) => begunBy[kind] ?? []));
  const points = round.points.filter(({ kind }) => !parents.has(kind));
  const stage = await kinds.prepare(number);
  const nameOf = ({ kind, step, place }: Point): string => `${kind}@${step}@${place}`;
  for (const name of readdirSync(join(holdDir, 'held'))) unlinkSync(join(holdDir, 'held', name));
  for (const point of points) writeFileSync(join(holdDir, 'wanted', nameOf(point)), point.kind in begunBy ? 'child' : 'top');
  try {
    const begun = await Promise.all(points.map(async (point) => ({ point, ref: await begin(kinds, point, stage, number) })));
    const held = (): string[] => readdirSync(join(holdDir, 'held'));
    const missing = (): Point[] => points.filter((point) => !held().some((name) => name.startsWith(`${nameOf(point)}@`)));
    const reached = await eventually('every task stands at its point', () => missing().length === 0, { withinMs: REACHED_WITHIN_MS, everyMs: 20 }).catch(() => false);
    const away = new Set(reached ? [] : missing().map(nameOf));
    await Promise.all(killed.map((victim) => kill(world, victim)));
    letGo(holdDir);
    for (const victim of killed) revive(world, victim);
    await waitReady(world.lab);
    const ends = await Promise.all(begun.map(async ({ point, ref }) => ({ point, end: typeof ref === 'string' ? ref : await world.rest.ended(ref, 120_000).catch(messageOf) })));
    const loose = await eventually('each VM has the QEMUs that its state says', async () => ((await wrongQemus(world)).length === 0 ? 'right' : false)).then(() => [], () => wrongQemus(world));
    return ends.map(({ point, end }) => judge(point, end, killed, away.has(nameOf(point)), loose));
  } finally {
    letGo(holdDir);
  }
}

const begin = (kinds: Kinds, { kind }: Point, stage: Stage, number: number): Promise<TaskRef | string> => {
  const row = kinds.table[kind];
  return row === undefined ? Promise.resolve(`${kind} has no row in test/faults/kinds.ts`) : row(stage, number).catch(messageOf);
};

function letGo(holdDir: string): void {
  for (const name of readdirSync(join(holdDir, 'wanted'))) unlinkSync(join(holdDir, 'wanted', name));
}

function judge(point: Point, end: Task | string, killed: Victims, missed: boolean, loose: readonly string[]): Outcome {
  if (typeof end === 'string') return { point, state: 'failed', why: end };
  const allowed = killed.includes('qemu') && mayFailWithoutQemu.has(point.kind) ? ['succeeded', 'failed'] : ['succeeded'];
  if (!allowed.includes(end.state)) return { point, state: 'failed', why: `${end.state}: ${JSON.stringify(end.error)}` };
  const own = loose.find((text) => text.startsWith(`${end.object.id} `));
  if (own !== undefined) return { point, state: 'failed', why: own };
  return missed ? { point, state: 'skipped', why: 'its task did not come to this point' } : { point, state: 'passed', why: null };
}

/** VMs with more or fewer QEMUs than their state says. */
async function wrongQemus(world: World): Promise<string[]> {
  const vms = await ownVms(world);
  const running = (await allQemus(world)).map(({ pid }) => argumentsOf(pid));
  return vms.flatMap(({ id, name, status: { state } }) => {
    const count = running.filter((argv) => argv.includes(id)).length;
    return count === qemusFor[state] ? [] : [`${id} (${name}) is ${state} with ${count} QEMUs`];
  });
}

async function kill(world: World, victim: string): Promise<void> {
  if (victim === 'qemu') for (const { pid } of await allQemus(world)) killIfThere(pid);
  else await Promise.all(processesOf(world, victim).map((name) => crash(world.lab, name)));
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** What has died of itself is that round's failure; the next one begins with all there. */
export async function reviveAll(world: World): Promise<void> {
  for (const name of victims.filter((victim) => victim !== 'qemu').flatMap((victim) => processesOf(world, victim))) if (!world.lab.processes.isAlive(name)) startAgain(world.lab, name);
  await waitReady(world.lab);
}

/** A guest is not started again: its VM's state says that it is gone. */
function revive(world: World, victim: string): void {
  if (victim === 'qemu') return;
  for (const name of processesOf(world, victim)) startAgain(world.lab, name);
}

const processesOf = ({ record }: World, victim: string): string[] => (victim === 'agent' ? record.hosts.map(({ name }) => agentName(name)) : [victim]);

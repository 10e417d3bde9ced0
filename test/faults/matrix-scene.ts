// One round of the kill matrix on the lab: as many tasks of every kind as it has points, each held at its own; the kill; and
// what must hold afterwards.
import { mkdtempSync, readFileSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { taskServices } from '#contracts';
import type { TaskId, TaskState, VmState } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import { agentName, crash, startAgain, waitReady } from '../e2e/lab.mjs';
import { allQemus, argumentsOf } from '../e2e/qemu.ts';
import { ownVms } from '../e2e/vms.ts';
import type { World } from '../e2e/world.ts';
import { begunBy, mayFailWithoutQemu } from './kinds.ts';
import type { Row } from './kinds.ts';
import { isUndo, pointName, victims } from './matrix-plan.ts';
import type { KindSteps, Point, Round, Victims } from './matrix-plan.ts';
import { endsOf } from './owners.ts';
import type { Ends } from './owners.ts';
import { inTurns } from './stage.ts';
import type { Stage } from './stage.ts';

export interface Outcome {
  readonly point: Point;
  readonly state: 'passed' | 'failed' | 'skipped';
  readonly why: string | null;
}

/** No further task has come to its point for so long: the others will not. */
const STILL_MS = 20_000;
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

/** A task that was begun for a point; which of the tasks of its kind stood there, `held` says. */
interface Begun {
  readonly point: Point;
  /** Its id, or why it could not be begun. */
  readonly taskId: TaskId | null;
  readonly why: string;
}

/** Supplies, holds, kills, lets go, starts again, and judges each point. `note` hears how long each part took. */
export async function runRound(world: World, rows: Readonly<Record<string, Row>>, stage: Stage, holdDir: string, round: Round, note: (what: string) => void): Promise<Outcome[]> {
  const points = round.points.filter(({ kind }) => kind in rows);
  const begins = await stage.supply(points.map(({ kind }) => rows[kind]!));
  note('supplied');
  for (const dir of ['held', 'failing']) empty(join(holdDir, dir));
  for (const point of points) writeFileSync(join(holdDir, 'wanted', pointName(point)), point.kind in begunBy ? 'child' : 'top');
  try {
    const begun = await inTurns(points, async (point): Promise<Begun> => begins[points.indexOf(point)]!(stage.name()).then(({ taskId }) => ({ point, taskId, why: '' }), (error: unknown) => ({ point, taskId: null, why: messageOf(error) })));
    note('begun');
    await allStand(holdDir, begun.filter(({ taskId }) => taskId !== null).length);
    const held = heldTasks(holdDir);
    note('held');
    await Promise.all(round.victims.map((victim) => kill(world, victim)));
    empty(join(holdDir, 'wanted'));
    for (const victim of round.victims) revive(world, victim);
    await waitReady(world.lab);
    note('revived');
    const ends = await endsOf(world, [...new Set([...begun.flatMap(({ taskId }) => taskId ?? []), ...held.values()])]);
    note('ended');
    const loose = await eventually('each VM has the QEMUs that its state says', async () => ((await wrongQemus(world)).length === 0 ? 'right' : false)).then(() => [], () => wrongQemus(world));
    if (loose.length > 0) note(`loose: ${loose.join('; ')};`);
    return judgeAll({ begun, held, ends, loose, killed: round.victims });
  } finally {
    empty(join(holdDir, 'wanted'));
  }
}

function empty(dir: string): void {
  for (const name of readdirSync(dir)) unlinkSync(join(dir, name));
}

async function allStand(holdDir: string, count: number): Promise<void> {
  let [standing, since] = [0, performance.now()];
  await eventually('every task stands at its point', () => {
    const now = readdirSync(join(holdDir, 'held')).length;
    if (now !== standing) [standing, since] = [now, performance.now()];
    return now >= count || performance.now() - since > STILL_MS;
  }, { withinMs: 240_000, everyMs: 20 });
}

/** The ids of the tasks that stand, by the names of their points. */
const heldTasks = (holdDir: string): Map<string, TaskId> => new Map(readdirSync(join(holdDir, 'held')).map((name) => [name, readFileSync(join(holdDir, 'held', name), 'utf8') as TaskId]));

interface Scene {
  readonly begun: readonly Begun[];
  readonly held: ReadonlyMap<string, TaskId>;
  readonly ends: Ends;
  /** VMs with another number of QEMUs than their state says. */
  readonly loose: readonly string[];
  readonly killed: Victims;
}

/** Each point by the task that stood there; tasks that stood nowhere are judged where nobody stood. */
function judgeAll(scene: Scene): Outcome[] {
  const standing = new Set(scene.held.values());
  return [...new Set(scene.begun.map(({ point: { kind } }) => kind))].flatMap((kind) => {
    const begun = scene.begun.filter(({ point }) => point.kind === kind);
    const astray = begun.filter(({ taskId }) => taskId === null || !standing.has(taskId));
    return begun.map(({ point }): Outcome => {
      const there = scene.held.get(pointName(point));
      if (there !== undefined) return judge(scene, point, there);
      const other = kind in begunBy ? begun.find((one) => one.point === point) : astray.pop();
      if (other === undefined || other.taskId === null) return { point, state: 'failed', why: other?.why ?? 'its task stood elsewhere' };
      const outcome = judge(scene, point, other.taskId);
      return outcome.state === 'failed' && !isUndo(point) ? outcome : { point, state: 'skipped', why: 'no task came to this point' };
    });
  });
}

function judge(scene: Scene, point: Point, taskId: TaskId): Outcome {
  const { ends, killed, loose } = scene;
  const end = ends.get(taskId);
  if (end === undefined) return { point, state: 'failed', why: 'its task is not known' };
  const mayFail = killed.includes('qemu') && mayFailWithoutQemu.has(point.kind);
  const allowed: readonly TaskState[] = isUndo(point) ? ['failed'] : mayFail ? ['succeeded', 'failed'] : ['succeeded'];
  if (!allowed.includes(end.state)) return { point, state: 'failed', why: `${taskId} ${end.state}: ${JSON.stringify(end.error)}` };
  const own = loose.find((text) => text.startsWith(`${end.objectId} `));
  if (own !== undefined) return { point, state: 'failed', why: own };
  const parent = end.parentTaskId === null ? undefined : ends.get(end.parentTaskId);
  if (parent === undefined || allowed.includes(parent.state)) return { point, state: 'passed', why: null };
  return { point, state: 'failed', why: `${taskId}: the task that began it ${parent.state}: ${JSON.stringify(parent.error)}` };
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

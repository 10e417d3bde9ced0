// Lets a test hold a task at one step of it, or of its undo, so that "killed exactly there" is done and not hoped for. A
// process without TOK_TEST_HOLD has no holds at all; one that has it and is not a test's refuses to work.
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Internal } from '#contracts';
import { FaultError, sleep } from '#kernel';
import { pointOfNoReturn } from './kind.ts';
import type { TaskKind } from './kind.ts';

/** Before the step's work (or its undo's), or when that is done and its answer not yet recorded. */
export type HoldPlace = 'before' | 'after' | 'undo-before' | 'undo-after';

export interface HeldStep {
  readonly kind: string;
  readonly taskId: string;
  readonly isChild: boolean;
  readonly step: string;
  readonly signal: AbortSignal;
}

/** Where tasks of a kind are made to fail so that they turn back, and the points that they meet then. */
interface WayBack {
  readonly failAt: string | undefined;
  readonly points: readonly string[];
}

const LOOK_MS = 20;
const pointOf = (kind: string, step: string, place: HoldPlace): string => `${kind}@${step}@${place}`;

/**
 * The directory's files: `kinds/<kind>` is written here at start; `wanted/<point>` by the test, saying whether a task that
 * stands alone (`top`) or a `child` is meant; `held/<point>` by the task that stands there, with its id. A point takes one
 * task, so that as many tasks as there are points come to all of them. One that a point of an undo wants is made to fail at
 * the last step from which its kind turns back (`failing/<point>`).
 */
export class Holds {
  private readonly waysBack = new Map<string, WayBack>();

  constructor(private readonly dir: string) {
    for (const name of ['kinds', 'wanted', 'held', 'failing']) mkdirSync(join(dir, name), { recursive: true });
  }

  /** Tells the test which kinds and steps there are, and which undos a task can come to. */
  tell(kind: TaskKind): void {
    const turning = kind.steps.slice(0, Math.min(kind.steps.length, pointOfNoReturn(kind)));
    const undo = turning.filter((step) => step.undo !== undefined).map((step) => step.name);
    this.waysBack.set(kind.kind, { failAt: turning.at(-1)?.name, points: undo.flatMap((step) => [pointOf(kind.kind, step, 'undo-before'), pointOf(kind.kind, step, 'undo-after')]) });
    const file = join(this.dir, 'kinds', kind.kind);
    writeFileSync(`${file}.${process.pid}`, JSON.stringify({ kind: kind.kind, steps: kind.steps.map((step) => step.name), undo }));
    renameSync(`${file}.${process.pid}`, file);
  }

  /** Stays as long as the test wants this point held and no other task has it. */
  async meet(step: HeldStep, place: HoldPlace): Promise<void> {
    const point = pointOf(step.kind, step.step, place);
    if (place.startsWith('undo-') && this.ownerOf('failing', point) !== step.taskId) return;
    if (!this.takes('held', point, step)) return;
    while (this.wants(point, step) && !step.signal.aborted) await sleep(LOOK_MS);
  }

  /** Throws the fault of a task that is wanted on its way back. */
  failIfWanted(step: HeldStep): void {
    const way = this.waysBack.get(step.kind);
    if (way?.failAt === step.step && way.points.some((point) => this.takes('failing', point, step))) throw new FaultError(Internal.fault('a test had this task fail'));
  }

  private wants(point: string, { isChild }: HeldStep): boolean {
    const wanted = join(this.dir, 'wanted', point);
    return existsSync(wanted) && textOf(wanted) === (isChild ? 'child' : 'top');
  }

  /** A task that has a point keeps it, also in another run of its step. */
  private takes(where: 'held' | 'failing', point: string, step: HeldStep): boolean {
    if (!this.wants(point, step)) return false;
    // Whole from the first moment: whoever sees the file reads whose point it is.
    const aside = join(this.dir, `${step.taskId}.${process.pid}`);
    writeFileSync(aside, step.taskId);
    try {
      linkSync(aside, join(this.dir, where, point));
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      return this.ownerOf(where, point) === step.taskId;
    } finally {
      unlinkSync(aside);
    }
  }

  private ownerOf(where: 'held' | 'failing', point: string): string {
    return textOf(join(this.dir, where, point));
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return ''; // the test has taken it back meanwhile
  }
}

/** How long leases last in a process whose tasks a test holds, ms: what a killed one had is free again soon. */
export const HELD_LEASE_MS = 4_000;

/** Undefined in every process that no test has prepared; throws when one that serves people would be held. */
export function holdsOf(env: Readonly<Record<string, string | undefined>>): Holds | undefined {
  const dir = env['TOK_TEST_HOLD'];
  if (dir === undefined || dir === '') return undefined;
  if (env['NODE_ENV'] !== 'test') throw new Error('TOK_TEST_HOLD holds tasks still for tests; with NODE_ENV other than "test" this process does not start');
  return new Holds(dir);
}

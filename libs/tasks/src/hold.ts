// Lets a test hold a task at one step of it, so that "killed exactly there" is done and not hoped for. A process without
// TOK_TEST_HOLD has no holds at all; one that has it and is not a test's refuses to work.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sleep } from '#kernel';
import type { TaskKind } from './kind.ts';

/** Before the step's work, or when it is done and its answer not yet recorded. */
export type HoldPlace = 'before' | 'after';

export interface HeldStep {
  readonly kind: string;
  readonly taskId: string;
  readonly isChild: boolean;
  readonly step: string;
  readonly place: HoldPlace;
  readonly signal: AbortSignal;
}

const LOOK_MS = 20;

/** The directory's files: `kinds/<kind>` is written here at start, `wanted/<point>` by the test, `held/<point>@<task>` by a task that stands there. */
export class Holds {
  constructor(private readonly dir: string) {
    for (const name of ['kinds', 'wanted', 'held']) mkdirSync(join(dir, name), { recursive: true });
  }

  /** Tells the test which kinds and steps there are. */
  tell({ kind, steps }: TaskKind): void {
    const file = join(this.dir, 'kinds', kind);
    writeFileSync(`${file}.${process.pid}`, JSON.stringify({ kind, steps: steps.map((step) => step.name) }));
    renameSync(`${file}.${process.pid}`, file);
  }

  /** Stays as long as the test wants this point held. What a point's file holds says whether tasks that stand alone are meant, or children. */
  async meet({ kind, taskId, isChild, step, place, signal }: HeldStep): Promise<void> {
    const point = `${kind}@${step}@${place}`;
    const wanted = join(this.dir, 'wanted', point);
    if (!existsSync(wanted) || readFileSync(wanted, 'utf8') !== (isChild ? 'child' : 'top')) return;
    writeFileSync(join(this.dir, 'held', `${point}@${taskId}`), String(process.pid));
    while (existsSync(wanted) && !signal.aborted) await sleep(LOOK_MS);
  }
}

/** Undefined in every process that no test has prepared; throws when one that serves people would be held. */
export function holdsOf(env: Readonly<Record<string, string | undefined>>): Holds | undefined {
  const dir = env['TOK_TEST_HOLD'];
  if (dir === undefined || dir === '') return undefined;
  if (env['NODE_ENV'] !== 'test') throw new Error('TOK_TEST_HOLD holds tasks still for tests; with NODE_ENV other than "test" this process does not start');
  return new Holds(dir);
}

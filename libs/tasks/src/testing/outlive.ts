// A worker that is stopped past the end of its claim, for good (which is what a killed one looks like from outside) or until it
// is thawed: then what it was at goes on as if nothing had happened, only late. Another one has brought the task to its end
// meanwhile; what the late one does must change nothing.
import assert from 'node:assert/strict';
import type { TaskState } from '#contracts';
import { sleep } from '#kernel';
import { pointOfNoReturn } from '../kind.ts';
import type { TaskKind } from '../kind.ts';
import { beginAll, bothPlaces, endAll, END_WITHIN_MS, Points, steps, turningAt, undosBefore, vary } from './trial.ts';
import type { Act, Point, Trial } from './trial.ts';

/** At each step, before its work and between its work and its record: one worker stopped for good, and one that is thawed. */
export async function outliveAtEveryStep(trial: Trial): Promise<void> {
  const points = new Points();
  const frost = new Frost();
  const freezing = vary(trial.kind, (step, index) => ({ run: points.at(index, (point) => frost.in(step.run.bind(step), point), (ctx) => step.run(ctx)) }));
  await outlive(trial, { points, frost, wanted: bothFates(bothPlaces(steps(trial.kind))), freezing, whole: trial.kind, expected: 'succeeded' });
}

/** The same in each undo, on the way back from a failure. */
export async function outliveAtEveryUndo(trial: Trial): Promise<void> {
  const noReturn = pointOfNoReturn(trial.kind);
  const wanted = bothFates(bothPlaces(undosBefore(trial.kind, noReturn)));
  if (wanted.length === 0) return; // it undoes nothing
  const whole = turningAt(trial.kind, noReturn - 1);
  const points = new Points();
  const frost = new Frost();
  const freezing = vary(whole, (step, index) => {
    const undo: Act = (ctx) => step.undo?.(ctx) ?? Promise.resolve();
    return step.undo === undefined ? {} : { undo: points.at(index, (point) => frost.in(undo, point), undo) };
  });
  await outlive(trial, { points, frost, wanted, freezing, whole, expected: 'failed' });
}

const bothFates = (points: readonly Point[]): Point[] => points.flatMap((point) => [{ ...point, fate: 'killed' as const }, { ...point, fate: 'thawed' as const }]);

/** Where the stopped worker stands, with one task at each point. */
class Frost {
  private readonly stands = new Set<string>();
  private readonly gate = Promise.withResolvers<undefined>();

  in(work: Act, { place, fate }: Point): Act {
    return async (ctx) => {
      const before = place === 'after' ? await work(ctx) : undefined;
      this.stands.add(ctx.task.id);
      await this.gate.promise;
      if (fate === 'killed') throw new Error('killed');
      return place === 'after' ? before : work(ctx);
    };
  }

  async all(taskIds: readonly string[]): Promise<void> {
    for (const giveUpAt = performance.now() + END_WITHIN_MS; taskIds.some((id) => !this.stands.has(id));) {
      if (performance.now() > giveUpAt) throw new Error(`only ${this.stands.size} of ${taskIds.length} tasks have come to their points within ${END_WITHIN_MS} ms`);
      await sleep(5);
    }
  }

  thaw(): void {
    this.gate.resolve(undefined);
  }
}

interface Ordeal {
  readonly points: Points;
  readonly frost: Frost;
  readonly wanted: readonly Point[];
  readonly freezing: TaskKind;
  readonly whole: TaskKind;
  readonly expected: TaskState;
}

async function outlive(trial: Trial, { points, frost, wanted, freezing, whole, expected }: Ordeal): Promise<void> {
  const first = await trial.open(freezing);
  const begun = await beginAll(trial, first, points, wanted);
  await frost.all(begun.map(({ taskId }) => taskId));
  const thawed = await first.freeze();
  const second = await trial.open(whole);
  try {
    await endAll(trial, second, begun, () => expected);
    const before = await Promise.all(begun.map(({ taskId }) => second.get(taskId)));
    frost.thaw();
    await thawed();
    assert.deepEqual(await Promise.all(begun.map(({ taskId }) => second.get(taskId))), before, 'a thawed worker has changed what is recorded of a task');
    // The world, too, is as it must be after this end.
    await endAll(trial, second, begun, () => expected);
  } finally {
    frost.thaw();
    await second.close();
  }
}

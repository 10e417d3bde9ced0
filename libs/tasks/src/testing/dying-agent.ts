// The agent of the host dies at every command that a task sends it, once, before the effect and behind it: the task asks
// again under the same id and comes to its end, forward and on its way back. (What the agent itself does between intent, effect
// and record is shown by the tests of the agent, which die at its fault points.)
import { pointOfNoReturn } from '../kind.ts';
import { beginAll, endAll, failsIn, Points, vary } from './trial.ts';
import type { Begun, Death, Point, Trial } from './trial.ts';

/** Answers the steps at whose commands it has died, once for each time. */
export async function agentDiesAtEveryCommand(trial: Trial): Promise<readonly string[]> {
  const { host, kind } = trial;
  if (host === undefined) return [];
  // A point that no step has lets its task go through; one at the last step from which it can turn back has it fail there.
  const turn = Math.min(kind.steps.length, pointOfNoReturn(kind)) - 1;
  const through: Point = { at: kind.steps.length, place: 'after' };
  const wanted = turn < 0 ? [through] : [through, { at: turn, place: 'after' as const }];
  const points = new Points();
  const engine = await trial.open(vary(kind, (step, index) => ({ run: points.at(index, () => failsIn(step.run.bind(step), 'after'), (ctx) => step.run(ctx)) })));
  const deaths = new Map<string, Death>();
  host.diedAt.clear();
  try {
    const all: Begun[] = [];
    for (const death of ['intent', 'effect'] as const) {
      // A task meets the death in whose time it was begun, at whatever command.
      host.dies = (commandId) => {
        const taskId = commandId.split('/')[0] ?? '';
        if (!deaths.has(taskId)) deaths.set(taskId, death);
        return deaths.get(taskId) ?? null;
      };
      const begun = await beginAll(trial, engine, points, wanted);
      for (const { taskId } of begun) if (!deaths.has(taskId)) deaths.set(taskId, death);
      all.push(...begun);
    }
    await endAll(trial, engine, all, ({ at }) => (at === turn ? 'failed' : 'succeeded'));
  } finally {
    host.dies = null;
    await engine.close();
  }
  return [...host.diedAt].filter((id) => deaths.has(id.split('/')[0] ?? '')).map((id) => kind.steps[Number(id.split('/')[1])]?.name ?? id);
}

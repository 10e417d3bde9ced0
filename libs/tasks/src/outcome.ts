// What a kind is told of the end of its task.
import { fromJson } from '#database';
import { faultOfWire } from './fault.ts';
import type { TaskOutcome } from './kind.ts';
import type { Ending } from './record.store.ts';
import { taskInfo } from './rows.ts';
import type { StepRow, TaskRow } from './rows.ts';

export function outcomeOf({ row, steps }: { readonly row: TaskRow; readonly steps: readonly StepRow[] }, { state, stuck }: Pick<Ending, 'state' | 'stuck'>): TaskOutcome<unknown> {
  const recorded = row.error === null ? null : faultOfWire(fromJson(row.error));
  return {
    state, task: taskInfo(row), input: fromJson(row.input), error: stuck?.fault ?? recorded,
    output: <T>(name: string): T | undefined => outputIn<T>(steps, name),
  };
}

export function outputIn<T>(steps: readonly StepRow[], name: string): T | undefined {
  const step = steps.find((found) => found.name === name);
  return step === undefined || step.output === null ? undefined : fromJson<T>(step.output);
}

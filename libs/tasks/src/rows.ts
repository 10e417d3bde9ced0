// Rows of `task` and `task_step`, and their public face.
import type { Actor, ErrorBody, StepState, Task, TaskState, WaitsFor } from '#contracts';
import type { z } from 'zod';
import { fromJson, isoAt, isoAtOrNull } from '#database';
import { blockerOf, childView, sumOf } from './child-view.ts';
import type { ChildSeen } from './child-view.ts';
import type { TaskInfo } from './kind.ts';

export type StepStateName = z.infer<typeof StepState>;
export type Direction = 'forward' | 'undo';

export interface TaskRow {
  id: string; kind: string; object_noun: string; object_id: string; object_name: string | null;
  state: TaskState; direction: Direction; actor: unknown; owner_id: string | null; trace_id: string | null; traceparent: string | null;
  input: unknown; output: unknown; error: unknown; locks: unknown;
  parent_task_id: string | null; root_task_id: string; progress: unknown; waits_for: unknown;
  cancel_requested_at: Date | null; run_epoch: number; claimed_by: string | null; claim_until: Date | null;
  wake_at: Date | null; wake_count: number; finish_errors: number; version: number;
  created_at: Date; started_at: Date | null; ended_at: Date | null;
}

/** A call to another service's task that this step made or is about to make. */
export interface ChildRecord {
  readonly service: string;
  readonly taskId: string;
  /** Until then a task that is not found may still come into being: the request may be on its way. */
  readonly arrivesUntil: string;
  /** What it last told. */
  readonly seen?: ChildSeen;
}

export interface StepRow {
  task_id: string; seq: number; name: string; state: StepStateName; attempt: number; errors: number; parks: number;
  retry_since: Date | null; calls: unknown; output: unknown; error: unknown; started_at: Date | null; ended_at: Date | null;
}

export const childrenOf = (step: StepRow): Readonly<Record<string, ChildRecord>> => fromJson<Record<string, ChildRecord> | null>(step.calls) ?? {};

type KnownActor = Pick<Actor, 'userId' | 'handle'>;

export const taskInfo = (row: TaskRow): TaskInfo => ({
  id: row.id, kind: row.kind, objectId: row.object_id, objectName: row.object_name,
  rootTaskId: row.root_task_id, parentTaskId: row.parent_task_id,
  actor: fromJson<KnownActor | null>(row.actor), ownerId: row.owner_id, traceId: row.trace_id,
});

/** The task as everybody sees it; fields as in the contract `Task`. */
export function taskView(service: string, row: TaskRow, steps: readonly StepRow[]): Task {
  const ended = row.ended_at !== null;
  const children = new Map(steps.map((step) => [step.seq, Object.values(childrenOf(step)).map((child) => childView(child, step.state === 'done'))]));
  const working = ended ? [] : steps.filter(({ state }) => state === 'running' || state === 'undoing').flatMap(({ seq }) => children.get(seq) ?? []);
  return {
    id: row.id as Task['id'],
    service,
    kind: row.kind,
    object: { noun: row.object_noun, id: row.object_id, name: row.object_name },
    state: row.state,
    progress: fromJson<Task['progress']>(row.progress) ?? sumOf(working),
    waitsFor: blockerOf(fromJson<WaitsForRow | null>(row.waits_for), working) ?? (row.state === 'queued' ? freeWorker(service, row) : null),
    error: fromJson<ErrorBody | null>(row.error),
    output: fromJson<unknown>(row.output),
    actor: fromJson<Task['actor']>(row.actor),
    parentTaskId: row.parent_task_id as Task['parentTaskId'],
    traceId: row.trace_id,
    steps: steps.map((step) => ({
      seq: step.seq, name: step.name, state: step.state, attempt: step.attempt,
      startedAt: isoAtOrNull(step.started_at), endedAt: isoAtOrNull(step.ended_at), error: fromJson<ErrorBody | null>(step.error), children: children.get(step.seq) ?? [],
    })),
    version: row.version,
    createdAt: isoAt(row.created_at),
    startedAt: isoAtOrNull(row.started_at),
    endedAt: isoAtOrNull(row.ended_at),
  };
}

/** What a task waits for that nobody has taken up yet. */
export const freeWorker = (service: string, row: TaskRow): WaitsForRow => ({ what: `a worker of ${service}`, holder: null, position: null, since: isoAt(row.wake_at ?? row.created_at) });

export type WaitsForRow = z.infer<typeof WaitsFor>;

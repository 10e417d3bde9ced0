// Finds a task for a caller: in the view, or, when its first event is still on the way, at the service that owns it.
import type { DataSource } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import {
  NotFound, PermissionDenied, computeTask, isTaskNews, networkTask, storageTask, templatesTask,
  cancelTask, retryTask, type InputOf, type Permission, type ReplyOf, type Task, type TaskService, type getTask,
} from '#contracts';
import { mayAccess, transaction, whoOf } from '#database';
import { firstDefined, ok, orThrow, type Failed, type Result } from '#kernel';
import { accessOf } from '../scope/scope.store.ts';
import { auditMutation, deedId } from '#tasks';
import { findTask, type TaskView } from './task.store.ts';
import type { TaskWaiters } from './task.waiters.ts';

const owners = { compute: computeTask, storage: storageTask, network: networkTask, templates: templatesTask } as const satisfies Record<TaskService, unknown>;
const passed = { cancel: cancelTask, retry: retryTask } as const;
/** Tasks that do not move may stand in a queue. */
const standing: ReadonlySet<Task['state']> = new Set(['queued', 'waiting', 'cancelling']);
/** The view is answered when its owner takes longer. */
const PLACE_MS = 500;
/** Who waits for a task that no owner can tell of looks again after so long, and then after twice as long each time: every look asks all owners. */
const UNKNOWN_MS = 1_000;
const missing = (taskId: string): Result<never> => NotFound.fail('There is no task with this id.', { noun: 'task', id: taskId });

export class TaskReader {
  constructor(private readonly db: DataSource, private readonly bus: Pick<BusClient, 'request'>, private readonly waiters: TaskWaiters) {}

  /** Answers at once, or with `waitMs` when the task has a version after `afterVersion` or has ended; while its owner is away that is waited for too. */
  async get(input: InputOf<typeof getTask>, ctx: BusContext): Promise<Result<Task>> {
    const until = performance.now() + Math.min(input.waitMs, Math.max(0, ctx.deadline.leftMs() - 1_000));
    for (let pauseMs = UNKNOWN_MS; ; pauseMs *= 2) {
      const found = await this.find(input.taskId);
      const mayWait = performance.now() < until && !ctx.signal.aborted && this.waiters.hasRoom;
      if (!found.ok && mayWait) {
        await this.waiters.news(input.taskId, Math.min(pauseMs, until - performance.now()), ctx.signal);
        continue;
      }
      const seen = await this.mayDo(orThrow(found), 'task.read', input.taskId, ctx);
      if (!seen.ok) return seen;
      const task = seen.value;
      if (isTaskNews(input.afterVersion, task) || !mayWait) return ok(await this.withPlace(task));
      await this.waiters.news(input.taskId, until - performance.now(), ctx.signal);
    }
  }

  /** A queue moves without a word about each who stands in it: the owner says what place the task has now. */
  private async withPlace(task: Task): Promise<Task> {
    if (!standing.has(task.state)) return task;
    const answer = await this.bus.request(owners[task.service as TaskService].get, { taskId: task.id }, { as: 'system', timeoutMs: PLACE_MS });
    return answer.ok && answer.value.version >= task.version ? answer.value : task;
  }

  async pass(verb: 'cancel' | 'retry', input: InputOf<typeof cancelTask>, ctx: BusContext): Promise<Result<ReplyOf<typeof cancelTask>>> {
    const found = orThrow(await this.find(input.taskId));
    const allowed = await this.mayDo(found, 'task.cancel', input.taskId, ctx);
    if (!allowed.ok) return allowed;
    const owner = owners[allowed.value.service as TaskService];
    const key = ctx.idempotencyKey === null ? {} : { idempotencyKey: ctx.idempotencyKey };
    const done = await this.bus.request(owner[verb], { taskId: input.taskId }, { ctx, as: 'system', ...key });
    // The owner knows of a service that asked. Dies before this: the request comes again under its key, or the owner's record and its trace are what there is.
    if (done.ok) await transaction(this.db, (tx) => auditMutation(tx, { ctx, operation: passed[verb], input, reply: done.value, id: deedId(passed[verb], ctx) }));
    return done;
  }

  /** The one that has the task is believed at once. Fails as an owner that does not answer where no other has it: then nobody can say that it is not there. */
  private async find(taskId: InputOf<typeof getTask>['taskId']): Promise<Result<TaskView | undefined>> {
    const known = await findTask(this.db, taskId);
    if (known) return ok(known);
    const silent: Failed[] = [];
    const asked = Object.values(owners).map(async (owner) => {
      const answer = await this.bus.request(owner.get, { taskId }, { as: 'system', timeoutMs: 2_000 });
      if (answer.ok) return answer.value;
      if (answer.fault.code !== NotFound.code) silent.push(answer);
      return undefined;
    });
    const task = await firstDefined(asked);
    if (task) return ok({ task, ownerId: task.actor?.userId ?? null });
    return silent[0] ?? ok(undefined);
  }

  private async mayDo(found: TaskView | undefined, permission: Permission, taskId: string, ctx: BusContext): Promise<Result<Task>> {
    if (!found) return missing(taskId);
    const who = whoOf(ctx);
    const owners = [found.ownerId, found.task.actor?.userId ?? null];
    const object = await accessOf(this.db, found.task.object.id, null);
    const mine = (wanted: Permission): boolean => owners.some((ownerId) => mayAccess(who, wanted, { ...object, ownerId }));
    if (!mine('task.read')) return missing(taskId);
    return mine(permission) ? ok(found.task) : PermissionDenied.fail(`You lack the right ${permission} on this task.`, { permission });
  }
}

// The tasks that change switches. Each decides in its first transaction what the switch shall be; the step tells the
// hosts. A host that is away stays `pending` and is told later; one that refuses undoes the change, so that a task
// which has succeeded never leaves a host that could not do it.
import { Inject, Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { HostCommandFailed, switchChanged, switchDeleted } from '#contracts';
import type { SwitchId } from '#contracts';
import { failed, ok } from '#kernel';
import type { Result } from '#kernel';
import { defineTask, emit } from '#tasks';
import type { TaskInfo, TaskKind } from '#tasks';
import { SwitchApplier } from './switch.applier.ts';
import { switchView } from './switch.ts';
import type { SwitchSpec } from './switch.ts';
import { buryMarked, findAnySwitch, markDeleting, restoreSwitch } from './switch.store.ts';

export interface CreateSwitch { readonly switchId: SwitchId }
export interface ChangeSwitch {
  readonly switchId: SwitchId;
  /** What hosts had before; the way back. Names are not part of it: a name may be somebody else's by then. */
  readonly before: Pick<SwitchSpec, 'mtu' | 'uplinks'>;
}

@Injectable()
export class SwitchTasks {
  readonly create: TaskKind<CreateSwitch>;
  readonly update: TaskKind<ChangeSwitch>;
  readonly delete: TaskKind<ChangeSwitch>;

  constructor(@Inject(SwitchApplier) applier: SwitchApplier) {
    this.create = defineTask<CreateSwitch>({
      kind: 'network.switch.create',
      object: 'switch',
      steps: [{
        name: 'apply-to-hosts',
        run: ({ input }) => told(applier, input.switchId),
        undo: async (ctx) => {
          await ctx.tx((tx) => markDeleting(tx, ctx.input.switchId));
          await applier.apply(ctx.input.switchId);
        },
      }],
      onFinished: async (tx, { state, input, task }) => {
        if (state === 'failed' || state === 'cancelled') await bury(tx, input.switchId, task);
        else await announce(tx, input.switchId, task);
      },
    });
    this.update = defineTask<ChangeSwitch>({
      kind: 'network.switch.update',
      object: 'switch',
      steps: [{
        name: 'apply-to-hosts',
        run: ({ input }) => told(applier, input.switchId),
        undo: async (ctx) => {
          await ctx.tx((tx) => restoreSwitch(tx, ctx.input.switchId, ctx.input.before));
          await applier.apply(ctx.input.switchId);
        },
      }],
      onFinished: async (tx, { state, input, task }) => {
        // Cancelled before its step began, a task has nothing to undo: its decision is taken back here.
        if (state !== 'succeeded') await restoreSwitch(tx, input.switchId, input.before);
        await announce(tx, input.switchId, task);
      },
    });
    this.delete = defineTask<ChangeSwitch>({
      kind: 'network.switch.delete',
      object: 'switch',
      steps: [{
        name: 'remove-from-hosts',
        run: ({ input }) => told(applier, input.switchId),
        undo: async (ctx) => {
          await ctx.tx((tx) => restoreSwitch(tx, ctx.input.switchId, ctx.input.before));
          await applier.apply(ctx.input.switchId);
        },
      }],
      onFinished: async (tx, { state, input, task }) => {
        if (state === 'succeeded') return bury(tx, input.switchId, task);
        await restoreSwitch(tx, input.switchId, input.before);
        await announce(tx, input.switchId, task);
      },
    });
  }

  all(): readonly TaskKind[] {
    return [this.create, this.update, this.delete];
  }
}

async function told(applier: SwitchApplier, switchId: SwitchId): Promise<Result<Record<string, never>>> {
  const [refusal] = await applier.apply(switchId);
  if (refusal === undefined) return ok({});
  if (refusal.fault.code !== HostCommandFailed.code) return failed(refusal.fault);
  return HostCommandFailed.fail(`Host ${refusal.hostId} refused the switch: ${refusal.fault.detail}`, { reason: refusal.fault.detail });
}

async function bury(tx: EntityManager, switchId: SwitchId, task: TaskInfo): Promise<void> {
  await buryMarked(tx, switchId);
  await emit(tx, switchDeleted, { objectId: switchId, actor: task.actor, traceId: task.traceId, taskId: task.id, data: { switchId } });
}

async function announce(tx: EntityManager, switchId: SwitchId, task: TaskInfo): Promise<void> {
  const stored = await findAnySwitch(tx, switchId);
  if (stored !== undefined) await emit(tx, switchChanged, { objectId: switchId, actor: task.actor, traceId: task.traceId, taskId: task.id, data: { switch: switchView(stored) } });
}

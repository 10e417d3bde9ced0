// What may be done with switches: decides in one transaction and starts the task that tells the hosts.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import { createSwitch, deleteSwitch, getHost, InUse, switchChanged, updateSwitch, VersionConflict } from '#contracts';
import type { HostId, InputOf, listSwitches, ReplyOf, ReportOrder, SwitchId, TaskRef } from '#contracts';
import { allowed, transaction, whoOf } from '#database';
import { FaultError, newUuid, ok, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { Bus, Db, Tasks } from '#service';
import { emit, runCommand } from '#tasks';
import type { TaskEngine } from '#tasks';
import { recordHost, recordJoin, unknownHosts } from '../host/host.store.ts';
import { onSite } from '../rights.ts';
import { SwitchApplier } from './switch.applier.ts';
import { SwitchTasks } from './switch.tasks.ts';
import { concernsHosts, switchView } from './switch.ts';
import type { DistributedSwitch, StoredSwitch, UplinkList } from './switch.ts';
import { findSwitch, insertSwitch, listSwitches as listRows, lockSwitch, markDeleting, portGroupsOn, recheckHost, rewriteSwitch, switchesDue } from './switch.store.ts';
import type { SwitchFilter } from './switch.store.ts';

@Injectable()
export class SwitchService {
  constructor(
    @Inject(Db) private readonly db: DataSource, @Inject(Bus) private readonly bus: BusClient, @Inject(Tasks) private readonly tasks: TaskEngine,
    @Inject(SwitchTasks) private readonly kinds: SwitchTasks, @Inject(SwitchApplier) private readonly applier: SwitchApplier,
  ) {}

  create(input: InputOf<typeof createSwitch>, ctx: BusContext): Promise<Result<TaskRef>> {
    return runCommand(this.db, { ctx, operation: createSwitch, input }, async (tx) => {
      onSite(whoOf(ctx), 'network.write');
      await this.mustKnow(tx, input.uplinks);
      const switchId = newUuid() as SwitchId;
      await insertSwitch(tx, switchId, input);
      return this.begin(tx, ctx, switchId, () => this.tasks.start(tx, this.kinds.create, { ...this.about(switchId, input.name, ctx), input: { switchId } }));
    });
  }

  update(input: InputOf<typeof updateSwitch>, ctx: BusContext): Promise<Result<TaskRef>> {
    return runCommand(this.db, { ctx, operation: updateSwitch, input }, async (tx) => {
      const before = await this.writable(tx, input.switchId, ctx);
      if (input.version !== undefined && input.version !== before.version) {
        throw new FaultError(VersionConflict.fault('The switch was changed meanwhile.', { expected: input.version, actual: before.version }));
      }
      const after = { name: input.name ?? before.name, description: input.description ?? before.description, mtu: input.mtu ?? before.mtu, uplinks: input.uplinks ?? before.uplinks };
      if (input.uplinks !== undefined) await this.mustKnow(tx, input.uplinks);
      return this.begin(tx, ctx, before.id, async () => {
        // The lock first: a switch that another task works on is not rewritten under its hands.
        const ref = await this.tasks.start(tx, this.kinds.update, { ...this.about(before.id, after.name, ctx), input: { switchId: before.id, before: { mtu: before.mtu, uplinks: before.uplinks } } });
        await rewriteSwitch(tx, before.id, after, concernsHosts(before, after));
        return ref;
      });
    });
  }

  delete(input: InputOf<typeof deleteSwitch>, ctx: BusContext): Promise<Result<TaskRef>> {
    return runCommand(this.db, { ctx, operation: deleteSwitch, input }, async (tx) => {
      const stored = await this.writable(tx, input.switchId, ctx);
      const by = (await portGroupsOn(tx, stored.id)).map((id) => ({ noun: 'port-group', id }));
      if (by.length > 0) throw new FaultError(InUse.fault('The switch has port groups.', { by }));
      return this.begin(tx, ctx, stored.id, async () => {
        const ref = await this.tasks.start(tx, this.kinds.delete, { ...this.about(stored.id, stored.name, ctx), input: { switchId: stored.id, before: { mtu: stored.mtu, uplinks: stored.uplinks } } });
        await markDeleting(tx, stored.id);
        return ref;
      });
    });
  }

  list(input: SwitchFilter, ctx: BusContext): Promise<Result<ReplyOf<typeof listSwitches>>> {
    return listRows(this.db, whoOf(ctx), input);
  }

  async get(switchId: SwitchId, ctx: BusContext): Promise<Result<DistributedSwitch>> {
    const found = allowed(whoOf(ctx), 'network.read', await findSwitch(this.db, switchId), { noun: 'switch', id: switchId, read: 'network.read' });
    return found.ok ? ok(switchView(found.value)) : found;
  }

  /** A host's agent has started: its switches are applied again, in case it has lost them. */
  async hostJoined(hostId: HostId, order: ReportOrder): Promise<void> {
    await transaction(this.db, async (tx) => {
      if (await recordJoin(tx, hostId, order)) await recheckHost(tx, hostId);
    });
    await this.applyDue();
  }

  async applyDue(): Promise<void> {
    for (const id of await switchesDue(this.db)) await this.applier.apply(id);
  }

  private about(switchId: SwitchId, name: string, ctx: BusContext): { objectId: string; objectName: string; ctx: BusContext; lock: { noun: string; id: string }[] } {
    return { objectId: switchId, objectName: name, ctx, lock: [{ noun: 'switch', id: switchId }] };
  }

  private async begin(tx: EntityManager, ctx: BusContext, switchId: SwitchId, work: () => Promise<TaskRef>): Promise<TaskRef> {
    const ref = await work();
    const stored = await findSwitch(tx, switchId);
    if (stored !== undefined) await emit(tx, switchChanged, { objectId: switchId, ctx, taskId: ref.taskId, data: { switch: switchView(stored) } });
    return ref;
  }

  /** Compute is asked about a host that its events have not told of yet: it may have been registered a moment ago. */
  private async mustKnow(tx: EntityManager, uplinks: UplinkList): Promise<void> {
    for (const hostId of uplinks.length === 0 ? [] : await unknownHosts(tx, uplinks.map((uplink) => uplink.hostId))) {
      await recordHost(tx, orThrow(await this.bus.request(getHost, { hostId }, { as: 'system', timeoutMs: 3_000 })));
    }
  }

  private async writable(tx: EntityManager, switchId: SwitchId, ctx: BusContext): Promise<StoredSwitch> {
    return orThrow(allowed(whoOf(ctx), 'network.write', await lockSwitch(tx, switchId, 'update'), { noun: 'switch', id: switchId, read: 'network.read' }));
  }
}

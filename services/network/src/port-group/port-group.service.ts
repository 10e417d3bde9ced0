// What may be done with port groups.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { BusContext } from '#bus';
import { createPortGroup, deletePortGroup, InUse, NotFound, portGroupChanged, portGroupDeleted, updatePortGroup, VersionConflict } from '#contracts';
import type { checkPortGroups, InputOf, listPortGroups, PortGroupId, ReplyOf } from '#contracts';
import { allowed, mayAccess, whoOf } from '#database';
import { FaultError, newUuid, ok, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { onSite } from '../rights.ts';
import { carryingHosts, commonHosts } from '../switch/switch.ts';
import { findSwitches, lockSwitch } from '../switch/switch.store.ts';
import { deletePortGroupRow, findPortGroup, findPortGroups, insertPortGroup, listPortGroups as listRows, lockPortGroup, membersOf, renamePortGroup } from './port-group.store.ts';
import type { PortGroup, PortGroupFilter } from './port-group.store.ts';

const about = (id: string) => ({ noun: 'port-group', id, read: 'network.read' }) as const;

@Injectable()
export class PortGroupService {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  create(input: InputOf<typeof createPortGroup>, ctx: BusContext): Promise<Result<PortGroup>> {
    return runCommand(this.db, { ctx, operation: createPortGroup, input }, async (tx) => {
      onSite(whoOf(ctx), 'network.write');
      const stored = await lockSwitch(tx, input.switchId, 'share');
      // A switch that is being deleted takes nothing new.
      if (stored === undefined || stored.deleting) throw new FaultError(NotFound.fault('There is no switch with this id.', { noun: 'switch', id: input.switchId }));
      const id = newUuid();
      await insertPortGroup(tx, { id, ...input });
      return this.announce(tx, id, ctx);
    });
  }

  update(input: InputOf<typeof updatePortGroup>, ctx: BusContext): Promise<Result<PortGroup>> {
    return runCommand(this.db, { ctx, operation: updatePortGroup, input }, async (tx) => {
      const group = orThrow(allowed(whoOf(ctx), 'network.write', await lockPortGroup(tx, input.portGroupId, 'update'), about(input.portGroupId)));
      const version = input.version ?? group.version;
      const met = version === group.version ? await renamePortGroup(tx, { id: group.id, name: input.name ?? group.name, description: input.description ?? group.description, version }) : 0;
      if (met === 0) throw new FaultError(VersionConflict.fault('The port group was changed meanwhile.', { expected: version, actual: group.version }));
      return this.announce(tx, group.id, ctx);
    });
  }

  delete(input: InputOf<typeof deletePortGroup>, ctx: BusContext): Promise<Result<ReplyOf<typeof deletePortGroup>>> {
    return runCommand(this.db, { ctx, operation: deletePortGroup, input }, async (tx) => {
      const group = orThrow(allowed(whoOf(ctx), 'network.write', await lockPortGroup(tx, input.portGroupId, 'update'), about(input.portGroupId)));
      const by = await membersOf(tx, group.id);
      if (by.length > 0) throw new FaultError(InUse.fault('The port group has subnets or ports.', { by }));
      await deletePortGroupRow(tx, group.id);
      await emit(tx, portGroupDeleted, { objectId: group.id, ctx, data: { portGroupId: group.id } });
      return {};
    });
  }

  list(input: PortGroupFilter, ctx: BusContext): Promise<Result<ReplyOf<typeof listPortGroups>>> {
    return listRows(this.db, whoOf(ctx), input);
  }

  async get(portGroupId: PortGroupId, ctx: BusContext): Promise<Result<PortGroup>> {
    const who = whoOf(ctx);
    const group = await findPortGroup(this.db, portGroupId);
    if (group !== undefined && mayAccess(who, 'network.use', { id: group.id })) return ok(group);
    return allowed(who, 'network.read', group, about(portGroupId));
  }

  /** Hosts that carry the switches of all of them. */
  async check({ portGroupIds }: InputOf<typeof checkPortGroups>): Promise<Result<ReplyOf<typeof checkPortGroups>>> {
    const groups = await findPortGroups(this.db, portGroupIds);
    const missing = portGroupIds.find((id) => !groups.some((group) => group.id === id));
    if (missing !== undefined) return NotFound.fail('There is no port group with this id.', { noun: 'port-group', id: missing });
    const switches = await findSwitches(this.db, [...new Set(groups.map((group) => group.switchId))]);
    return ok({ hostIds: commonHosts(switches.map(carryingHosts)) });
  }

  private async announce(tx: EntityManager, id: string, ctx: BusContext): Promise<PortGroup> {
    const portGroup = await findPortGroup(tx, id);
    if (portGroup === undefined) throw new Error('a port group vanished inside of a transaction');
    await emit(tx, portGroupChanged, { objectId: id, ctx, data: { portGroup } });
    return portGroup;
  }
}

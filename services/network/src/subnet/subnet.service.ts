// What may be done with subnets. A port group has one: its addresses are answered by DHCP on every host.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { createSubnet, deleteSubnet, InUse, NotFound, subnetChanged, subnetDeleted } from '#contracts';
import type { InputOf, listSubnets, ReplyOf, SubnetId } from '#contracts';
import { allowed, whoOf } from '#database';
import { FaultError, newUuid, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { lockPortGroup } from '../port-group/port-group.store.ts';
import { portsInSubnet } from '../port/port.store.ts';
import { onSite } from '../rights.ts';
import { parseIpv4, parseNet, planRange } from './subnet.ts';
import { deleteSubnetRow, findSubnet, insertSubnet, listSubnets as listRows, lockSubnet } from './subnet.store.ts';
import type { Subnet, SubnetFilter } from './subnet.store.ts';

const about = (id: string) => ({ noun: 'subnet', id, read: 'network.read' }) as const;

@Injectable()
export class SubnetService {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  create(input: InputOf<typeof createSubnet>, ctx: BusContext): Promise<Result<Subnet>> {
    return runCommand(this.db, { ctx, operation: createSubnet, input }, async (tx) => {
      onSite(whoOf(ctx), 'network.write');
      const range = orThrow(planRange(orThrow(parseNet(input.cidr)), input.gateway, input.range));
      if ((await lockPortGroup(tx, input.portGroupId, 'share')) === undefined) {
        throw new FaultError(NotFound.fault('There is no port group with this id.', { noun: 'port-group', id: input.portGroupId }));
      }
      const id = newUuid();
      await insertSubnet(tx, { ...input, id, range, gateway: input.gateway === null ? null : parseIpv4(input.gateway) });
      const subnet = await findSubnet(tx, id);
      if (subnet === undefined) throw new Error('a subnet vanished inside of a transaction');
      await emit(tx, subnetChanged, { objectId: id, ctx, data: { subnet } });
      return subnet;
    });
  }

  delete(input: InputOf<typeof deleteSubnet>, ctx: BusContext): Promise<Result<ReplyOf<typeof deleteSubnet>>> {
    return runCommand(this.db, { ctx, operation: deleteSubnet, input }, async (tx) => {
      await lockSubnet(tx, input.subnetId);
      const subnet = orThrow(allowed(whoOf(ctx), 'network.write', await findSubnet(tx, input.subnetId), about(input.subnetId)));
      const by = (await portsInSubnet(tx, subnet.id)).map((id) => ({ noun: 'port', id }));
      if (by.length > 0) throw new FaultError(InUse.fault('Addresses of the subnet are assigned.', { by }));
      await deleteSubnetRow(tx, subnet.id);
      await emit(tx, subnetDeleted, { objectId: subnet.id, ctx, data: { subnetId: subnet.id } });
      return {};
    });
  }

  list(input: SubnetFilter, ctx: BusContext): Promise<Result<ReplyOf<typeof listSubnets>>> {
    return listRows(this.db, whoOf(ctx), input);
  }

  async get(subnetId: SubnetId, ctx: BusContext): Promise<Result<Subnet>> {
    return allowed(whoOf(ctx), 'network.read', await findSubnet(this.db, subnetId), about(subnetId));
  }
}

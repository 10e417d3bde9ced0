// The operations of hosts on the bus, and what hosts report.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import { Handles, OnReport, type BusContext, type ReportContext } from '#bus';
import { getHost, hostChanged, hostDeleted, hostJoined, hostVmChanged, listHosts, registerHost, removeHost, updateHost, type BodyOf, type Host, type InputOf, type Permission } from '#contracts';
import { allowed, whoOf } from '#database';
import { orThrow } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { clusterFor } from '../cluster/cluster.store.ts';
import { HostReports } from './host.reports.ts';
import { changeHost, dropHost, findHost, insertHost, pageOfHosts } from './host.store.ts';

@Controller()
export class HostHandlers {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(HostReports) private readonly reports: HostReports) {}

  @Handles(registerHost) async register(input: InputOf<typeof registerHost>, ctx: BusContext) {
    const registered = await runCommand(this.db, { ctx, operation: registerHost, input }, async (tx) => {
      orThrow(await clusterFor(tx, input.clusterId));
      const host = await insertHost(tx, input);
      await emit(tx, hostChanged, { objectId: host.id, data: { host }, ctx });
      return host;
    });
    if (registered.ok) this.reports.lookSoon(registered.value.id);
    return registered;
  }

  @Handles(listHosts) list(input: InputOf<typeof listHosts>, ctx: BusContext) { return pageOfHosts(this.db, whoOf(ctx), input); }

  @Handles(getHost) get(input: InputOf<typeof getHost>, ctx: BusContext) { return this.own(this.db.manager, ctx, input.hostId, 'host.read'); }

  @Handles(updateHost) update(input: InputOf<typeof updateHost>, ctx: BusContext) {
    return runCommand(this.db, { ctx, operation: updateHost, input }, async (tx) => {
      const host = await changeHost(tx, await this.own(tx, ctx, input.hostId, 'host.write'), input, input.version);
      await emit(tx, hostChanged, { objectId: host.id, data: { host }, ctx });
      return host;
    });
  }

  @Handles(removeHost) remove(input: InputOf<typeof removeHost>, ctx: BusContext) {
    return runCommand(this.db, { ctx, operation: removeHost, input }, async (tx) => {
      const host = await this.own(tx, ctx, input.hostId, 'host.write');
      await dropHost(tx, host);
      await emit(tx, hostDeleted, { objectId: host.id, data: { hostId: host.id }, ctx });
      return {};
    });
  }

  @OnReport(hostJoined) joined(body: BodyOf<typeof hostJoined>, ctx: ReportContext) { return this.reports.joined(ctx.hostId, body); }
  @OnReport(hostVmChanged) vmChanged(body: BodyOf<typeof hostVmChanged>, ctx: ReportContext) { return this.reports.vmChanged(ctx.hostId, body); }

  private async own(tx: EntityManager, ctx: BusContext, id: string, permission: Permission): Promise<Host> {
    return orThrow(allowed(whoOf(ctx), permission, await findHost(tx, id), { noun: 'host', id, read: 'host.read' }));
  }
}

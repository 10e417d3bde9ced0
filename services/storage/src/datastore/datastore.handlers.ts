// The bus face of datastores: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles, OnReport } from '#bus';
import type { BusContext, ReportContext } from '#bus';
import { chooseDatastore, createDatastore, deleteDatastore, getDatastore, hostJoined, listDatastores } from '#contracts';
import type { BodyOf, HostId, InputOf } from '#contracts';
import { DatastoreService } from './datastore.service.ts';

@Controller()
export class DatastoreHandlers {
  constructor(@Inject(DatastoreService) private readonly datastores: DatastoreService) {}

  @Handles(createDatastore)
  create(input: InputOf<typeof createDatastore>, ctx: BusContext) { return this.datastores.create(input, ctx); }

  @Handles(listDatastores)
  list(input: InputOf<typeof listDatastores>, ctx: BusContext) { return this.datastores.list(input, ctx); }

  @Handles(getDatastore)
  get(input: InputOf<typeof getDatastore>, ctx: BusContext) { return this.datastores.get(input.datastoreId, ctx); }

  @Handles(deleteDatastore)
  delete(input: InputOf<typeof deleteDatastore>, ctx: BusContext) { return this.datastores.delete(input, ctx); }

  @Handles(chooseDatastore)
  choose(input: InputOf<typeof chooseDatastore>) { return this.datastores.choose(input); }

  @OnReport(hostJoined)
  joined(_body: BodyOf<typeof hostJoined>, ctx: ReportContext): Promise<void> { return this.datastores.refreshHost(ctx.hostId as HostId); }
}

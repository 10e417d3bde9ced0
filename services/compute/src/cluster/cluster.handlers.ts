// The operations of the site and its clusters on the bus.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import { Handles, type BusContext } from '#bus';
import { clusterChanged, clusterDeleted, createCluster, deleteCluster, getCluster, getSite, listClusters, updateCluster, updateSite, type InputOf, type Permission } from '#contracts';
import { allowed, whoOf } from '#database';
import { orThrow } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { changeCluster, changeSite, dropCluster, findCluster, insertCluster, pageOfClusters, readSite } from './cluster.store.ts';

@Controller()
export class ClusterHandlers {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  @Handles(getSite) site() { return readSite(this.db); }

  @Handles(updateSite) renameSite(input: InputOf<typeof updateSite>, ctx: BusContext) {
    return runCommand(this.db, { ctx, operation: updateSite, input }, (tx) => changeSite(tx, input, input.version));
  }

  @Handles(createCluster) create(input: InputOf<typeof createCluster>, ctx: BusContext) {
    return runCommand(this.db, { ctx, operation: createCluster, input }, async (tx) => {
      const cluster = await insertCluster(tx, input);
      await emit(tx, clusterChanged, { objectId: cluster.id, data: { cluster }, ctx });
      return cluster;
    });
  }

  @Handles(listClusters) list(input: InputOf<typeof listClusters>, ctx: BusContext) { return pageOfClusters(this.db, whoOf(ctx), input); }

  @Handles(getCluster) async get(input: InputOf<typeof getCluster>, ctx: BusContext) { return this.own(this.db.manager, ctx, input.clusterId, 'cluster.read'); }

  @Handles(updateCluster) update(input: InputOf<typeof updateCluster>, ctx: BusContext) {
    return runCommand(this.db, { ctx, operation: updateCluster, input }, async (tx) => {
      const cluster = await changeCluster(tx, await this.own(tx, ctx, input.clusterId, 'cluster.write'), input, input.version);
      await emit(tx, clusterChanged, { objectId: cluster.id, data: { cluster }, ctx });
      return cluster;
    });
  }

  @Handles(deleteCluster) delete(input: InputOf<typeof deleteCluster>, ctx: BusContext) {
    return runCommand(this.db, { ctx, operation: deleteCluster, input }, async (tx) => {
      const cluster = await this.own(tx, ctx, input.clusterId, 'cluster.write');
      await dropCluster(tx, cluster);
      await emit(tx, clusterDeleted, { objectId: cluster.id, data: { clusterId: cluster.id }, ctx });
      return {};
    });
  }

  private async own(tx: EntityManager, ctx: BusContext, id: string, permission: Permission) {
    const found = await findCluster(tx, id);
    const { clusterId: _same, ...cluster } = orThrow(allowed(whoOf(ctx), permission, found && { ...found, clusterId: found.id }, { noun: 'cluster', id, read: 'cluster.read' }));
    return cluster;
  }
}

// Which host does the work on a datastore now.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { HostId } from '#contracts';
import { selectRow } from '#database';
import { orThrow } from '#kernel';
import { Db } from '#service';
import { workHost } from './datastore.ts';
import { hostsOf } from './datastore.store.ts';

@Injectable()
export class DatastoreHosts {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  /** A connected host that sees the datastore, the preferred one if it can be; throws HOST_UNREACHABLE or HOST_NOT_CONNECTED. */
  async workHost(datastoreId: string, preferred: HostId | null): Promise<HostId> {
    return orThrow(workHost((await hostsOf(this.db, [datastoreId])).get(datastoreId) ?? [], preferred));
  }

  /** As `workHost`; undefined = none is connected. */
  async workHostIfAny(datastoreId: string): Promise<HostId | undefined> {
    const found = workHost((await hostsOf(this.db, [datastoreId])).get(datastoreId) ?? [], null);
    return found.ok ? found.value : undefined;
  }

  /** As `workHost`; with none connected the preferred one, which the caller then waits for. */
  async workHostOr(datastoreId: string, preferred: HostId): Promise<HostId> {
    const found = workHost((await hostsOf(this.db, [datastoreId])).get(datastoreId) ?? [], preferred);
    return found.ok ? found.value : preferred;
  }

  async isConnected(hostId: HostId): Promise<boolean> {
    const row = await selectRow<{ state: string }>(this.db, 'SELECT state FROM host WHERE id = ?', [hostId]);
    return row === undefined || row.state === 'connected';
  }
}

// The histories of objects on the bus: one operation per noun, one way to answer.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { Handles, type BusContext } from '#bus';
import {
  clusterHistory, datastoreHistory, folderHistory, hostHistory, imageHistory, portGroupHistory, subnetHistory, switchHistory, templateHistory, vmHistory, volumeHistory, type HistoryEntry, type InputOf, type Operation, type Permission,
} from '#contracts';
import { allowed, whoOf } from '#database';
import type { Result } from '#kernel';
import { Db } from '#service';
import { findScope } from '../scope/scope.store.ts';
import { pageOfHistory } from './history.store.ts';

type Page = Promise<Result<{ items: HistoryEntry[]; next: string | null }>>;
interface Asked { readonly limit: number; readonly cursor?: string | undefined }

@Controller()
export class HistoryHandlers {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  @Handles(vmHistory) vm(input: InputOf<typeof vmHistory>, ctx: BusContext): Page { return this.of(vmHistory, input.vmId, input, ctx); }
  @Handles(hostHistory) host(input: InputOf<typeof hostHistory>, ctx: BusContext): Page { return this.of(hostHistory, input.hostId, input, ctx); }
  @Handles(clusterHistory) cluster(input: InputOf<typeof clusterHistory>, ctx: BusContext): Page { return this.of(clusterHistory, input.clusterId, input, ctx); }
  @Handles(folderHistory) folder(input: InputOf<typeof folderHistory>, ctx: BusContext): Page { return this.of(folderHistory, input.folderId, input, ctx); }
  @Handles(datastoreHistory) datastore(input: InputOf<typeof datastoreHistory>, ctx: BusContext): Page { return this.of(datastoreHistory, input.datastoreId, input, ctx); }
  @Handles(volumeHistory) volume(input: InputOf<typeof volumeHistory>, ctx: BusContext): Page { return this.of(volumeHistory, input.volumeId, input, ctx); }
  @Handles(switchHistory) switch(input: InputOf<typeof switchHistory>, ctx: BusContext): Page { return this.of(switchHistory, input.switchId, input, ctx); }
  @Handles(portGroupHistory) portGroup(input: InputOf<typeof portGroupHistory>, ctx: BusContext): Page { return this.of(portGroupHistory, input.portGroupId, input, ctx); }
  @Handles(subnetHistory) subnet(input: InputOf<typeof subnetHistory>, ctx: BusContext): Page { return this.of(subnetHistory, input.subnetId, input, ctx); }
  @Handles(imageHistory) image(input: InputOf<typeof imageHistory>, ctx: BusContext): Page { return this.of(imageHistory, input.imageId, input, ctx); }
  @Handles(templateHistory) template(input: InputOf<typeof templateHistory>, ctx: BusContext): Page { return this.of(templateHistory, input.templateId, input, ctx); }

  /** The right to see the object is asked of where it is now, or was last. */
  private async of({ noun, permission }: Operation, id: string, input: Asked, ctx: BusContext): Page {
    const scope = await findScope(this.db, id);
    const read = permission as Permission;
    const seen = allowed(whoOf(ctx), read, scope?.noun === noun ? scope : undefined, { noun, id, read });
    return seen.ok ? pageOfHistory(this.db, id, input) : seen;
  }
}

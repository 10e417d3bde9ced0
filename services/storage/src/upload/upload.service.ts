// Uploads: a staging file on a datastore that takes pieces in any order, until it is ingested or forgotten.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import { discardUpload, hostUploadDiscard, hostUploadWrite, HostUnreachable, NotFound, openUpload } from '#contracts';
import type { InputOf, ReplyOf, writeUpload } from '#contracts';
import { FaultError, ok, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { Bus, Db } from '#service';
import { runCommand } from '#tasks';
import { chooseDatastore, workHost } from '../datastore/datastore.ts';
import { DatastoreHosts } from '../datastore/datastore.hosts.ts';
import { allDatastores, findDatastore, toCandidate } from '../datastore/datastore.store.ts';
import type { StoredDatastore } from '../datastore/datastore.store.ts';
import { spaceFault } from '../volume/volume.ts';
import { deleteUpload, findUpload, insertUpload, touchUpload } from './upload.store.ts';
import type { Upload } from './upload.store.ts';

@Injectable()
export class UploadService {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Bus) private readonly bus: BusClient, @Inject(DatastoreHosts) private readonly hosts: DatastoreHosts) {}

  open(input: InputOf<typeof openUpload>, ctx: BusContext): Promise<Result<ReplyOf<typeof openUpload>>> {
    return runCommand(this.db, { ctx, operation: openUpload, input }, async (tx) => {
      const open = await findUpload(tx, input.uploadId);
      if (open !== undefined) return { datastoreId: open.datastoreId };
      const store = input.datastoreId === null ? await this.roomiest(input.sizeBytes ?? 0) : await findDatastore(tx, input.datastoreId);
      if (store === undefined) throw new FaultError(NotFound.fault('There is no datastore with this id.', { noun: 'datastore', id: input.datastoreId ?? '' }));
      const full = spaceFault(store.datastore.id, store.availableBytes, input.sizeBytes ?? 0);
      if (full !== undefined) throw new FaultError(full);
      await insertUpload(tx, { id: input.uploadId, datastoreId: store.datastore.id, hostId: orThrow(workHost(store.hosts, null)) });
      return { datastoreId: store.datastore.id };
    });
  }

  async write(input: InputOf<typeof writeUpload>, ctx: BusContext): Promise<Result<ReplyOf<typeof writeUpload>>> {
    const upload = await findUpload(this.db, input.uploadId);
    if (upload === undefined) return NotFound.fail('There is no such upload; it may have ended unused.', { noun: 'upload', id: input.uploadId });
    const hostId = await this.hosts.workHostOr(upload.datastoreId, upload.hostId);
    const written = await this.bus.requestHost(hostId, hostUploadWrite, { uploadId: upload.id, datastorePath: upload.datastorePath, offset: input.offset, data: input.data }, { ctx, as: 'system', timeoutMs: 25_000 });
    if (written.ok) await touchUpload(this.db, upload.id);
    return written;
  }

  /** The file first: a row that is left behind is found again, a file would not be. */
  async discard(input: InputOf<typeof discardUpload>, ctx: BusContext): Promise<Result<ReplyOf<typeof discardUpload>>> {
    const upload = await findUpload(this.db, input.uploadId);
    if (upload !== undefined) {
      const removed = await this.removeFile(upload, ctx);
      if (!removed.ok) return removed;
    }
    return runCommand(this.db, { ctx, operation: discardUpload, input }, async (tx) => {
      await deleteUpload(tx, input.uploadId);
      return {};
    });
  }

  async forget(upload: Upload): Promise<Result<void>> {
    const removed = await this.removeFile(upload);
    if (!removed.ok) return removed;
    await deleteUpload(this.db, upload.id);
    return ok(undefined);
  }

  private async removeFile(upload: Upload, ctx?: BusContext): Promise<Result<unknown>> {
    const hostId = await this.hosts.workHostOr(upload.datastoreId, upload.hostId);
    const input = { commandId: `storage.upload/${upload.id}/${upload.openedAt.getTime()}/discard`, uploadId: upload.id, datastorePath: upload.datastorePath };
    const removed = await this.bus.requestHost(hostId, hostUploadDiscard, input, { ...(ctx ? { ctx } : {}), as: 'system' });
    return removed.ok || removed.fault.code !== HostUnreachable.code ? removed : HostUnreachable.fail('The host with the staging file does not respond.', { hostId });
  }

  private async roomiest(sizeBytes: number): Promise<StoredDatastore | undefined> {
    const stores = await allDatastores(this.db);
    const { datastoreId } = orThrow(chooseDatastore(stores.map(toCandidate), { sizeBytes, hostId: null, sharedFirst: true }));
    return stores.find((store) => store.datastore.id === datastoreId);
  }
}


// Makes a read-only image volume of an upload: the host checks and converts it in a sandbox. The staging file goes in
// either case; after a failure the upload itself stays open, so that other bytes can be sent to it.
import { hostUploadDiscard, hostVolumeIngest } from '#contracts';
import type { HostId, UploadId, VolumeFormat, VolumeId, VolumePlace } from '#contracts';
import type { z } from 'zod';
import { defineTask } from '#tasks';
import type { TaskKind } from '#tasks';
import type { DatastoreHosts } from '../datastore/datastore.hosts.ts';
import { deleteUpload } from '../upload/upload.store.ts';
import { abortOnHost, copySlots, finishMade, orAborted, removeFile } from './make-volume.task.ts';
import { roundedSize } from './volume.ts';

export interface IngestVolume {
  readonly volumeId: VolumeId;
  readonly hostId: HostId;
  readonly place: VolumePlace;
  readonly uploadId: UploadId;
  readonly format: z.infer<typeof VolumeFormat>;
  readonly sizeBytes: number;
  readonly sha256: string | null;
  /** A larger image could not be filled here. */
  readonly maxVirtualBytes: number;
}
export interface Ingested {
  readonly virtualBytes: number;
  readonly allocatedBytes: number;
  readonly sha256: string;
}

export const ingestVolumeTask = (hosts: DatastoreHosts): TaskKind<IngestVolume> => defineTask<IngestVolume>({
  kind: 'storage.volume.ingest',
  object: 'volume',
  steps: [
    {
      name: 'check-and-convert',
      slots: ({ input }) => copySlots(input),
      run: (ctx) => {
        const { hostId, place, uploadId, format, sizeBytes, sha256, maxVirtualBytes } = ctx.input;
        return orAborted(ctx.signal, ctx.host(hostId, hostVolumeIngest, { uploadId, datastorePath: place.datastorePath, format, sizeBytes, sha256, to: place, maxVirtualBytes }));
      },
      undo: async (ctx) => {
        await abortOnHost(ctx, hosts, ctx.input.hostId);
        await removeFile(ctx, hosts);
        const { place, uploadId, hostId } = ctx.input;
        await ctx.host(await hosts.workHostOr(place.datastoreId, hostId), hostUploadDiscard, { uploadId, datastorePath: place.datastorePath }, { part: 'staging' });
      },
    },
    {
      name: 'discard-staging',
      noReturn: true,
      why: 'After the volume is whole: until then the staging file is the only copy of what the user sent.',
      run: async (ctx): Promise<Ingested> => {
        const { place, uploadId, hostId } = ctx.input;
        await ctx.host(await hosts.workHostOr(place.datastoreId, hostId), hostUploadDiscard, { uploadId, datastorePath: place.datastorePath });
        return ctx.output<Ingested>('check-and-convert');
      },
    },
  ],
  onFinished: async (tx, outcome) => {
    const ingested = outcome.output<Ingested>('check-and-convert');
    await finishMade(tx, outcome, ingested && { allocatedBytes: ingested.allocatedBytes, sizeBytes: roundedSize(ingested.virtualBytes) });
    if (outcome.state === 'succeeded') await deleteUpload(tx, outcome.input.uploadId);
  },
});

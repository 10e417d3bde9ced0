// The kinds of tasks that storage runs, made once and shared by whoever starts them and by the engine.
import { Inject, Injectable } from '@nestjs/common';
import type { TaskKind } from '#tasks';
import { DatastoreHosts } from '../datastore/datastore.hosts.ts';
import { deleteVolumeTask } from './delete-volume.task.ts';
import type { DeleteVolume } from './delete-volume.task.ts';
import { ingestVolumeTask } from './ingest-volume.task.ts';
import type { IngestVolume } from './ingest-volume.task.ts';
import { copyVolumeTask, createVolumeTask } from './make-volume.task.ts';
import type { MakeVolume } from './make-volume.task.ts';

@Injectable()
export class VolumeTasks {
  readonly create: TaskKind<MakeVolume>;
  readonly copy: TaskKind<MakeVolume>;
  readonly delete: TaskKind<DeleteVolume>;
  readonly ingest: TaskKind<IngestVolume>;

  constructor(@Inject(DatastoreHosts) hosts: DatastoreHosts) {
    this.create = createVolumeTask(hosts);
    this.copy = copyVolumeTask(hosts);
    this.delete = deleteVolumeTask(hosts);
    this.ingest = ingestVolumeTask(hosts);
  }

  all(): readonly TaskKind[] {
    return [this.create, this.copy, this.delete, this.ingest];
  }
}

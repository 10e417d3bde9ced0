// What storage is made of.
import { Module } from '@nestjs/common';
import { DatastoreHandlers } from './src/datastore/datastore.handlers.ts';
import { DatastoreHosts } from './src/datastore/datastore.hosts.ts';
import { DatastoreService } from './src/datastore/datastore.service.ts';
import { UploadHandlers } from './src/upload/upload.handlers.ts';
import { UploadService } from './src/upload/upload.service.ts';
import { AttachmentHandlers } from './src/volume/attachment.handlers.ts';
import { AttachmentService } from './src/volume/attachment.service.ts';
import { VolumeHandlers } from './src/volume/volume.handlers.ts';
import { VolumeService } from './src/volume/volume.service.ts';
import { VolumeTasks } from './src/volume/volume.tasks.ts';

@Module({
  controllers: [DatastoreHandlers, VolumeHandlers, AttachmentHandlers, UploadHandlers],
  providers: [DatastoreHosts, DatastoreService, UploadService, VolumeTasks, VolumeService, AttachmentService],
})
export class StorageModule {}

// What storage is made of.
import { Module } from '@nestjs/common';
import { DatastoreHandlers } from './src/datastore/datastore.handlers.ts';
import { DatastoreHosts } from './src/datastore/datastore.hosts.ts';
import { DatastoreService } from './src/datastore/datastore.service.ts';
import { UploadHandlers } from './src/upload/upload.handlers.ts';
import { UploadService } from './src/upload/upload.service.ts';
import { VolumeHandlers } from './src/volume/volume.handlers.ts';
import { VolumeService } from './src/volume/volume.service.ts';
import { VolumeTasks } from './src/volume/volume.tasks.ts';

@Module({
  controllers: [DatastoreHandlers, VolumeHandlers, UploadHandlers],
  providers: [DatastoreHosts, DatastoreService, UploadService, VolumeTasks, VolumeService],
})
export class StorageModule {}

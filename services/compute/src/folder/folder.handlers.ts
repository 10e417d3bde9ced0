// The operations of folders on the bus.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { Handles, type BusContext } from '#bus';
import { createFolder, deleteFolder, foldersBelow, getFolder, listFolders, updateFolder, type InputOf } from '#contracts';
import { whoOf } from '#database';
import { Db } from '#service';
import { FolderCommands } from './folder.commands.ts';
import { pageOfFolders } from './folder.store.ts';

@Controller()
export class FolderHandlers {
  constructor(@Inject(FolderCommands) private readonly folders: FolderCommands, @Inject(Db) private readonly db: DataSource) {}

  @Handles(createFolder) create(input: InputOf<typeof createFolder>, ctx: BusContext) { return this.folders.create(input, ctx); }
  @Handles(listFolders) list(input: InputOf<typeof listFolders>, ctx: BusContext) { return pageOfFolders(this.db, whoOf(ctx), input); }
  @Handles(getFolder) get(input: InputOf<typeof getFolder>, ctx: BusContext) { return this.folders.get(input.folderId, ctx); }
  @Handles(foldersBelow) below(input: InputOf<typeof foldersBelow>) { return this.folders.below(input.folderId); }
  @Handles(updateFolder) update(input: InputOf<typeof updateFolder>, ctx: BusContext) { return this.folders.update(input, ctx); }
  @Handles(deleteFolder) delete(input: InputOf<typeof deleteFolder>, ctx: BusContext) { return this.folders.delete(input, ctx); }
}

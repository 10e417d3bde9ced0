// What may be done with folders. A folder goes only when nothing is in it, whoever owns what would be: storage and
// templates are asked before.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import {
  InUse, InvalidArgument, PermissionDenied, createFolder, deleteFolder, folderChanged, folderDeleted, listImages, listTemplates, listVolumes, updateFolder,
  type Folder, type FolderId, type foldersBelow, type InputOf, type Permission, type ReplyOf,
} from '#contracts';
import { allowed, gathered, mayAccess, whoOf } from '#database';
import { FaultError, newUuid, ok, orThrow, type Result } from '#kernel';
import { Bus, Db } from '#service';
import { emit, runCommand } from '#tasks';
import { conflict } from '../cluster/cluster.store.ts';
import { changeFolder, contentOf, deleteFolderRow, findFolder, foldersById, foldersUnder, heightOf, insertFolder, lockFolder, lockTree, noFolder, pathOf, type LockedFolder } from './folder.store.ts';

/** Levels of the tree: each is a step for whoever reads it, and a bound for whoever walks it. */
const DEEPEST = 16;
const NAMED = 20;

const misplaced = (message: string): Result<never> => InvalidArgument.fail(`parentId: ${message}.`, { issues: [{ path: 'parentId', message }] });

@Injectable()
export class FolderCommands {
  private readonly find = gathered((ids) => foldersById(this.db, ids));

  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Bus) private readonly bus: Pick<BusClient, 'request'>) {}

  create(input: InputOf<typeof createFolder>, ctx: BusContext): Promise<Result<Folder>> {
    return runCommand(this.db, { ctx, operation: createFolder, input }, async (tx) => {
      await lockTree(tx);
      orThrow(await place(tx, ctx, input.parentId, 1));
      const id = newUuid();
      await insertFolder(tx, { id, ...input });
      return announce(tx, (await findFolder(tx, id))!, ctx);
    });
  }

  update(input: InputOf<typeof updateFolder>, ctx: BusContext): Promise<Result<Folder>> {
    return runCommand(this.db, { ctx, operation: updateFolder, input }, async (tx) => {
      if (input.parentId !== undefined) await lockTree(tx);
      const folder = await own(tx, ctx, input.folderId, 'folder.write');
      if (input.version !== undefined && input.version !== folder.version) throw new FaultError(conflict(input.version, folder.version));
      const parentId = input.parentId === undefined ? folder.parentId : input.parentId;
      if (parentId !== folder.parentId) orThrow(await place(tx, ctx, parentId, await heightOf(tx, folder.id), folder.id));
      return announce(tx, await changeFolder(tx, folder, { parentId, name: input.name ?? folder.name, description: input.description ?? folder.description }), ctx);
    });
  }

  async delete(input: InputOf<typeof deleteFolder>, ctx: BusContext): Promise<Result<ReplyOf<typeof deleteFolder>>> {
    const elsewhere = await this.contentElsewhere(input.folderId, ctx);
    return runCommand(this.db, { ctx, operation: deleteFolder, input }, async (tx) => {
      await lockTree(tx);
      const folder = await own(tx, ctx, input.folderId, 'folder.write');
      const others = orThrow(elsewhere);
      // After the row is locked: a VM that is being filed here holds it.
      await deleteFolderRow(tx, folder.id);
      const by = [...await contentOf(tx, folder.id, NAMED), ...others];
      if (by.length > 0) return InUse.fail(`The folder is not empty: ${counted(by)}.`, { by: by.slice(0, NAMED) });
      await emit(tx, folderDeleted, { objectId: folder.id, data: { folderId: folder.id }, ctx });
      return {};
    });
  }

  async get(folderId: string, ctx: BusContext): Promise<Result<Folder>> {
    return reached(ctx, folderId, await this.find(folderId), 'folder.read');
  }

  async below(folderId: FolderId): Promise<Result<ReplyOf<typeof foldersBelow>>> {
    const folderIds = await foldersUnder(this.db, folderId);
    return folderIds.length === 0 ? noFolder(folderId) : ok({ folderIds: folderIds as FolderId[] });
  }

  private async contentElsewhere(folderId: FolderId, ctx: BusContext): Promise<Result<{ noun: string; id: string }[]>> {
    const asked = { folderId, limit: NAMED, fields: 'id' };
    const lists = [['volume', await this.bus.request(listVolumes, asked, { ctx, as: 'system' })], ['image', await this.bus.request(listImages, asked, { ctx, as: 'system' })], ['template', await this.bus.request(listTemplates, asked, { ctx, as: 'system' })]] as const;
    const found: { noun: string; id: string }[] = [];
    for (const [noun, list] of lists) {
      if (!list.ok) return list;
      found.push(...list.value.items.map(({ id }) => ({ noun, id })));
    }
    return ok(found);
  }
}

/** `3 vm, 1 volume` */
const counted = (by: readonly { noun: string }[]): string => [...Map.groupBy(by, ({ noun }) => noun)].map(([noun, all]) => `${all.length}${all.length >= NAMED ? '+' : ''} ${noun}`).join(', ');

/** A folder belongs to itself: a grant on it reaches it and, as auth sees to, all below it. */
const reached = <F extends Folder>(ctx: BusContext, id: string, folder: F | undefined, permission: Permission): Result<F> => {
  const found = allowed(whoOf(ctx), permission, folder && { id: folder.id, folderId: folder.id, folder }, { noun: 'folder', id, read: 'folder.read' });
  return found.ok ? ok(found.value.folder) : found;
};

const own = async (tx: EntityManager, ctx: BusContext, id: string, permission: Permission): Promise<LockedFolder> => orThrow(reached(ctx, id, await lockFolder(tx, id), permission));

/** Whether a subtree of that height may stand there; `moving` = the folder that would come there. */
async function place(tx: EntityManager, ctx: BusContext, parentId: string | null, height: number, moving?: string): Promise<Result<undefined>> {
  const denied = PermissionDenied.fail('You lack the right folder.write on the folder above, or on the site for one at the top.', { permission: 'folder.write' });
  if (parentId === null) return mayAccess(whoOf(ctx), 'folder.write', {}) ? ok(undefined) : denied;
  const path = await pathOf(tx, parentId);
  if (path.length === 0 || !mayAccess(whoOf(ctx), 'folder.read', { id: parentId, folderId: parentId })) return noFolder(parentId);
  if (!mayAccess(whoOf(ctx), 'folder.write', { id: parentId, folderId: parentId })) return denied;
  if (moving !== undefined && path.includes(moving)) return misplaced('a folder cannot lie within itself');
  return path.length + height > DEEPEST ? misplaced(`folders are at most ${DEEPEST} deep`) : ok(undefined);
}

async function announce(tx: EntityManager, folder: Folder, ctx: BusContext): Promise<Folder> {
  await emit(tx, folderChanged, { objectId: folder.id, data: { folder }, ctx });
  return folder;
}

// What owners of things that are filed ask of compute, which has the tree of folders.
import type { BusClient } from '#bus';
import { foldersBelow, type FolderId } from '#contracts';
import { ok, type Result } from '#kernel';

type Asking = Pick<BusClient, 'request'>;
interface Filter { readonly folderId?: FolderId | undefined; readonly subfolders: boolean }

/** The folders that a list's filter means; undefined = it names none. One that is not there has nothing in it. */
export async function foldersMeant(bus: Asking, { folderId, subfolders }: Filter): Promise<Result<readonly FolderId[] | undefined>> {
  if (folderId === undefined || !subfolders) return ok(folderId === undefined ? undefined : [folderId]);
  const found = await bus.request(foldersBelow, { folderId }, { as: 'system' });
  if (found.ok) return ok(found.value.folderIds);
  return found.fault.code === 'NOT_FOUND' ? ok([]) : found;
}

/** Refuses a folder that is not there, before something is filed in it. */
export async function folderStands(bus: Asking, folderId: FolderId | null): Promise<Result<undefined>> {
  if (folderId === null) return ok(undefined);
  const found = await bus.request(foldersBelow, { folderId }, { as: 'system' });
  return found.ok ? ok(undefined) : found;
}

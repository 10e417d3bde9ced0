// Rebuilds the copy of folders from compute. Takes no input; may run at any moment, in every replica.
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { getFolder, listFolders, NotFound } from '#contracts';
import { transaction } from '#database';
import type { Reconciler } from '#service';
import { forgetFolderView, keepFolderView, knownFolders } from './folder-view.store.ts';

export const folderReconciler = (db: DataSource, bus: Pick<BusClient, 'request'>): Reconciler => ({
  name: 'folders',
  everyMs: 30_000,
  run: async (signal) => {
    const before = await knownFolders(db);
    const found = new Set<string>();
    for (let cursor: string | null | undefined; cursor !== null && !signal.aborted;) {
      const page = await bus.request(listFolders, { limit: 500, ...(cursor === undefined ? {} : { cursor }) }, { as: 'system' });
      // Compute is away: the copy stays as it is, and auth works without it.
      if (!page.ok) return;
      for (const folder of page.value.items) {
        found.add(folder.id);
        // All but very few are where they were: a transaction for each, twice a minute, would be most of what a pool at rest does.
        if (before.get(folder.id) !== folder.parentId) await transaction(db, (tx) => keepFolderView(tx, folder));
      }
      cursor = page.value.next;
    }
    for (const id of [...before.keys()].filter((one) => !found.has(one))) {
      // Not by the list alone: a folder that was renamed between two pages may have stood in neither.
      const folder = await bus.request(getFolder, { folderId: id }, { as: 'system' });
      if (!folder.ok && folder.fault.code === NotFound.code) await transaction(db, (tx) => forgetFolderView(tx, id));
    }
  },
});

// Grants on folders: a right on one reaches all below it, and follows when folders are moved.
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { createGrant, createUser, getFolder, listFolders, listRoles, NotFound, resolveBearer, type Folder, type Right, type UserId } from '#contracts';
import { openDatabase, selectRows } from '#database';
import { newUuid, ok, orThrow } from '#kernel';
import { AuthUnderTest } from '../auth.fixture.ts';
import { folderReconciler } from './folder.reconciler.ts';

let auth: AuthUnderTest;
let db: DataSource;
let admin: () => { actorToken: string; idempotencyKey: string };
/** What compute has. */
const tree = new Map<string, Pick<Folder, 'id' | 'parentId' | 'version'>>();
const bus = { request: (operation: { name: string }, input: { folderId?: string }) => {
  const one = tree.get(input.folderId ?? '');
  if (operation.name === getFolder.name) return Promise.resolve(one ? ok(one) : NotFound.fail('gone', { noun: 'folder', id: '' }));
  return Promise.resolve(operation.name === listFolders.name ? ok({ items: [...tree.values()], next: null }) : NotFound.fail('no', { noun: '', id: '' }));
} } as unknown as Parameters<typeof folderReconciler>[1];
const heard = (): Promise<void> => folderReconciler(db, bus).run(new AbortController().signal);
const folder = (parentId: string | null, id = newUuid()): string => {
  tree.set(id, { id: id as Folder['id'], parentId: parentId as Folder['id'] | null, version: (tree.get(id)?.version ?? 0) + 1 });
  return id;
};
const password = 'a good enough password';
let count = 0;

async function holder(folderId: string): Promise<{ userId: UserId; rights: () => Promise<Right[]> }> {
  const handle = `holder-${++count}`;
  const user = orThrow(await auth.bus.request(createUser, { handle, password, mustChangePassword: false }, admin()));
  const role = orThrow(await auth.bus.request(listRoles, { name: 'administrator' }, admin())).items[0]!;
  orThrow(await auth.bus.request(createGrant, { userId: user.id, roleId: role.id, scope: 'folder', scopeId: folderId }, admin()));
  const { accessToken } = await auth.session({ user: handle, password });
  return { userId: user.id, rights: async () => orThrow(await auth.bus.request(resolveBearer, { bearer: accessToken }, { as: 'system' })).actor.rights };
}

beforeAll(async () => {
  auth = await AuthUnderTest.started();
  admin = await auth.as(await auth.admin());
  db = await openDatabase({ url: auth.env['TOK_MYSQL_URL']!, migrations: [], name: 'test' });
}, 60_000);
afterAll(async () => {
  await db.destroy();
  await auth.end();
});

it('a grant reaches what is below, at every depth, and nothing beside or above', async () => {
  const [top, beside] = [folder(null), folder(null)];
  const mid = folder(top);
  const low = folder(mid);
  await heard();
  const { rights } = await holder(mid);
  expect(await rights()).toMatchObject([{ scope: 'folder', scopeId: mid, below: [low] }]);
  folder(beside, low);
  await heard();
  expect((await rights())[0]!.below).toBeUndefined();
  folder(mid, beside);
  await heard();
  expect([...(await rights())[0]!.below!].sort()).toEqual([beside, low].sort());
});

it('doors hear that a holder’s folders are others, once per change of the tree', async () => {
  const top = folder(null);
  await heard();
  const { userId } = await holder(top);
  const rows = async (): Promise<number> => (await selectRows(db, "SELECT id FROM outbox WHERE event LIKE ? AND event LIKE '%folders%'", [`%${userId}%`])).length;
  const before = await rows();
  const low = folder(top);
  await heard();
  await heard();
  expect(await rows()).toBe(before + 1);
  tree.delete(low);
  await heard();
  expect(await selectRows(db, 'SELECT folder_id FROM folder_view WHERE folder_id = ?', [low])).toEqual([]);
});

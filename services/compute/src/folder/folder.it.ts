// Folders against the real database: names, moves that would make a circle, what may be deleted, and whose they are.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createFolder, listFolders, listImages, listTemplates, listVolumes, updateFolder, type Actor, type Folder, type FolderId, type Permission, type UserId } from '#contracts';
import { newUuid, orThrow, type Result } from '#kernel';
import { contextOf } from '#testing';
import { VmWorld, asService } from '../vm/vm-world.fixture.ts';
import { FolderCommands } from './folder.commands.ts';
import { pageOfFolders } from './folder.store.ts';

let world: VmWorld;
let folders: FolderCommands;
const volumes: { id: string }[] = [];
beforeAll(async () => {
  world = await VmWorld.open();
  for (const operation of [listImages, listTemplates]) world.bus.handle(operation, () => Promise.resolve({ items: [], next: null }));
  world.bus.handle(listVolumes, () => Promise.resolve({ items: volumes as never[], next: null }));
  folders = new FolderCommands(world.scene.db, world.bus.of('compute'));
});
afterAll(() => world.close());

const made = async (name: string, parentId: FolderId | null = null): Promise<FolderId> => orThrow(await folders.create(createFolder.input.parse({ name, parentId }), asService())).id;
const moved = (folderId: FolderId, parentId: FolderId | null): Promise<Result<Folder>> => folders.update(updateFolder.input.parse({ folderId, parentId }), asService());
const code = (answer: Result<unknown>): string => (answer.ok ? 'OK' : answer.fault.code);
const name = () => `f-${newUuid()}`;

describe('the tree', () => {
  it('has a name once within a folder, and again in another', async () => {
    const [top, other, same] = [await made(name()), await made(name()), name()];
    await made(same, top);
    expect(code(await folders.create(createFolder.input.parse({ name: same, parentId: top }), asService()))).toBe('NAME_TAKEN');
    const second = await made(same, other);
    expect(code(await moved(second, top))).toBe('NAME_TAKEN');
    expect(code(await folders.create(createFolder.input.parse({ name: name(), parentId: newUuid() }), asService()))).toBe('NOT_FOUND');
  });

  it('never becomes a circle, also when two moves meet', async () => {
    const a = await made(name());
    const b = await made(name());
    const below = await made(name(), a);
    expect([code(await moved(a, a)), code(await moved(a, below))]).toEqual(['INVALID_ARGUMENT', 'INVALID_ARGUMENT']);
    const met = (await Promise.all([moved(a, b), moved(b, a)])).map(code);
    expect(met.sort()).toEqual(['INVALID_ARGUMENT', 'OK']);
  });

  it('has sixteen levels, whether they are made or moved there', async () => {
    let deepest = await made(name());
    for (let level = 2; level <= 16; level++) deepest = await made(name(), deepest);
    expect(code(await folders.create(createFolder.input.parse({ name: name(), parentId: deepest }), asService()))).toBe('INVALID_ARGUMENT');
    const short = await made(name());
    expect(code(await moved(short, deepest))).toBe('INVALID_ARGUMENT');
  });
});

describe('a folder', () => {
  it('goes only when it is empty, and says what is in it', async () => {
    const folder = await made(name());
    const below = await made(name(), folder);
    const vmId = await world.vm('stopped');
    const vms = world.commands(await world.engine([]));
    orThrow(await vms.update({ vmId, folderId: folder }, asService()));
    expect(await folders.get(folder, asService())).toMatchObject({ value: { folders: 1, vms: 1 } });
    expect(await folders.below(folder)).toEqual({ ok: true, value: { folderIds: [folder, below] } });
    expect(code(await folders.below(newUuid() as FolderId))).toBe('NOT_FOUND');
    volumes.push({ id: newUuid() });
    const refused = await folders.delete({ folderId: folder }, asService());
    expect(refused).toMatchObject({ ok: false, fault: { code: 'IN_USE', detail: 'The folder is not empty: 1 folder, 1 vm, 1 volume.', details: { by: [{ noun: 'folder', id: below }, { noun: 'vm', id: vmId }, { noun: 'volume' }] } } });
    volumes.pop();
    orThrow(await vms.update({ vmId, folderId: null }, asService()));
    orThrow(await folders.delete({ folderId: below }, asService()));
    orThrow(await folders.delete({ folderId: folder }, asService()));
    expect([code(await folders.get(folder, asService())), code(await vms.update({ vmId, folderId: folder }, asService()))]).toEqual(['NOT_FOUND', 'NOT_FOUND']);
  });

  it('that one files into while another deletes it is either there with the VM, or gone without it', async () => {
    const vms = world.commands(await world.engine([]));
    for (let round = 0; round < 10; round++) {
      const folder = await made(name());
      const vmId = await world.vm('stopped');
      const [filed, deleted] = await Promise.all([vms.update({ vmId, folderId: folder }, asService()), folders.delete({ folderId: folder }, asService())]);
      expect([code(filed), code(deleted)]).toEqual(filed.ok ? ['OK', 'IN_USE'] : ['NOT_FOUND', 'OK']);
    }
  });

  it('is its holder’s: he sees it, makes folders in it, and none beside it', async () => {
    const [own, other] = [await made(name()), await made(name())];
    const permissions: Permission[] = ['folder.read', 'folder.write'];
    const actor: Actor = { userId: newUuid() as UserId, handle: 'u', rights: [{ permissions, scope: 'folder', scopeId: own }] };
    const ctx = () => contextOf({ actor, idempotencyKey: newUuid() });
    expect(orThrow(await pageOfFolders(world.scene.db, actor, listFolders.input.parse({}))).items.map(({ id }) => id)).toEqual([own]);
    orThrow(await folders.create(createFolder.input.parse({ name: name(), parentId: own }), ctx()));
    const refused = await Promise.all([other, null].map((parentId) => folders.create(createFolder.input.parse({ name: name(), parentId }), ctx())));
    expect(refused.map(code)).toEqual(['NOT_FOUND', 'PERMISSION_DENIED']);
    expect([code(await folders.get(other, ctx())), code(await folders.delete({ folderId: other }, ctx()))]).toEqual(['NOT_FOUND', 'NOT_FOUND']);
  });
});

// Lists of VMs against the real database: every filter finds what it says, rights filter, and the common pages of a list
// of tens of thousands are read from an index, not sorted or searched through.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVm, listVms, type Actor, type UserId } from '#contracts';
import { insertRows, selectRows, toJson, transaction, type Queryable } from '#database';
import { newUuid, orThrow } from '#kernel';
import { VmWorld } from './vm-world.fixture.ts';
import { pageOfVms } from './vm-list.store.ts';
import { changeVm } from './vm.store.ts';
import { firstSpec } from './vm.ts';

const COUNT = 3_000;
const owners = [newUuid(), newUuid()];
const folders = { top: newUuid(), below: newUuid() };
const templateId = newUuid();
const hostIds = Array.from({ length: 30 }, () => newUuid());
let world: VmWorld;
beforeAll(async () => {
  world = await VmWorld.open();
  const { db } = world.scene;
  const spec = toJson(firstSpec(createVm.input.parse({ name: 'x' }), null));
  const at = Date.UTC(2026, 0, 1);
  await insertRows(db, 'folder', Object.entries(folders).map(([name, id], index) => ({ id, parent_id: name === 'top' ? '' : folders.top, name, description: '', number: index + 1, created_at: new Date(at), updated_at: new Date(at) })));
  for (let from = 0; from < COUNT; from += 500) {
    const rows = Array.from({ length: 500 }, (_, index) => from + index);
    await insertRows(db, 'vm', rows.map((index) => ({
      id: newUuid(), name: `vm-${String(index).padStart(5, '0')}`, live_name: `vm-${String(index).padStart(5, '0')}`, description: '', labels: '{}', cluster_id: world.clusterId,
      template_id: index % 100 === 0 ? templateId : null, owner_id: owners[index % 7 === 0 ? 0 : 1]!, folder_id: index % 50 === 0 ? folders.below : index % 50 === 1 ? folders.top : null,
      uid: 300_000 + index, spec, state: index % 10 === 0 ? 'running' : 'stopped', addresses: '[]', host_id: hostIds[index % 30]!, number: 1_000 + index,
      created_at: new Date(at + Math.floor(index / 3) * 1000), updated_at: new Date(at),
    })));
  }
  const ids = await selectRows<{ id: string; name: string }>(db, 'SELECT id, name FROM vm ORDER BY name');
  await insertRows(db, 'vm_address', ids.map(({ id, name }) => {
    const index = Number(name.slice(3));
    return { vm_id: id, mac: `02:00:00:00:${(index >> 8).toString(16).padStart(2, '0')}:${(index & 255).toString(16).padStart(2, '0')}`, ip: `10.1.${index >> 8}.${index & 255}` };
  }));
  await transaction(db, async (tx) => {
    for (const [index, { id }] of ids.slice(0, 20).entries()) await changeVm(tx, id, { labels: { env: index % 2 === 0 ? 'prod' : 'test', ...(index < 4 ? { 'app/tier': 'web' } : {}) } });
  });
  await db.query('ANALYZE TABLE vm, vm_address, vm_label');
}, 60_000);
afterAll(() => world.close());

const list = async (over: object, who: Actor | 'system' = 'system', db: Queryable = world.scene.db) => orThrow(await pageOfVms(db, who, listVms.input.parse({ limit: 500, ...over }))).items;
const numbers = async (over: object) => (await list(over)).map((vm) => Number(vm.name.slice(3)));

describe('a filter finds what it says', () => {
  it.each<[object, (index: number) => boolean]>([
    [{ state: 'running', limit: 400 }, (index) => index % 10 === 0],
    [{ templateId }, (index) => index % 100 === 0],
    [{ folderId: folders.top }, (index) => index % 50 === 1],
    [{ folderId: folders.top, subfolders: true }, (index) => index % 50 <= 1],
    [{ folderId: folders.below, subfolders: true, state: 'running' }, (index) => index % 50 === 0],
    [{ ownerId: owners[0], state: 'running' }, (index) => index % 70 === 0],
    [{ hostId: hostIds[3] }, (index) => index % 30 === 3],
    [{ label: 'env:prod' }, (index) => index < 20 && index % 2 === 0],
    [{ label: 'env' }, (index) => index < 20],
    [{ label: 'env:prod,app/tier:web' }, (index) => index === 0 || index === 2],
    [{ label: 'env:PROD' }, () => false],
    [{ q: '-0123' }, (index) => Math.floor(index / 10) === 123],
    [{ q: '10.1.2.7' }, (index) => index >> 8 === 2 && /^7/.test(String(index & 255))],
    [{ q: '02:00:00:00:01:F' }, (index) => index >> 4 === 0x1f],
    [{ q: '%' }, () => false],
    [{ ip: '10.1.1.5' }, (index) => index === 261],
    [{ mac: '02:00:00:00:01:05' }, (index) => index === 261],
    [{ name: 'vm-00042' }, (index) => index === 42],
    [{ recycled: true }, () => false],
  ])('%o', async (over, fits) => {
    expect((await numbers(over)).sort((a, b) => a - b)).toEqual(Array.from({ length: COUNT }, (_, index) => index).filter(fits));
  });

  it.each(['createdAt', '-createdAt', 'name', '-name'])('and pages by %s show every VM once, in order', async (sort) => {
    const seen: string[] = [];
    for (let cursor: string | null | undefined; cursor !== null;) {
      const page = orThrow(await pageOfVms(world.scene.db, 'system', listVms.input.parse({ sort, limit: 499, ...(cursor === undefined ? {} : { cursor }) })));
      seen.push(...page.items.map((vm) => (sort.endsWith('name') ? vm.name : `${vm.createdAt} ${vm.id}`)));
      cursor = page.next;
    }
    expect(new Set(seen).size).toBe(COUNT);
    const sorted = [...seen].sort();
    expect(seen).toEqual(sort.startsWith('-') ? sorted.reverse() : sorted);
  });

  it('shows an owner his own and a holder of a folder what is in it', async () => {
    const actor = (userId: string, rights: Actor['rights']): Actor => ({ userId: userId as UserId, handle: 'u', rights });
    expect((await list({}, actor(owners[0]!, []))).every((vm) => vm.ownerId === owners[0])).toBe(true);
    const inFolder = await list({}, actor(newUuid(), [{ permissions: ['vm.read'], scope: 'folder', scopeId: folders.below }]));
    expect([inFolder.length, inFolder.every((vm) => vm.folderId === folders.below)]).toEqual([COUNT / 50, true]);
  });
});

interface Plan { table: string; type: string; key: string | null; rows: number | string; Extra: string }

/** The plan of the statement that a page is read with. */
async function planOf(over: object, who: Actor | 'system' = 'system'): Promise<Plan[]> {
  let asked: { sql: string; params: unknown[] } | undefined;
  const spy: Queryable = { query: (sql, params = []) => {
    if (sql.includes('sortValue__')) asked = { sql, params };
    return world.scene.db.query<unknown>(sql, params);
  } };
  await list({ limit: 100, ...over }, who, spy);
  return selectRows<Plan>(world.scene.db, `EXPLAIN FORMAT=TRADITIONAL ${asked!.sql}`, asked!.params);
}

describe('a page of a long list', () => {
  /** The cursor behind the first two thirds. */
  async function cursorOf(over: object): Promise<string> {
    let cursor: string | null = null;
    for (let turn = 0; turn < 4; turn++) cursor = orThrow(await pageOfVms(world.scene.db, 'system', listVms.input.parse({ limit: 500, ...over, ...(cursor === null ? {} : { cursor }) }))).next;
    return cursor!;
  }
  const pages: readonly (readonly [string, object, string])[] = [
    ['the first', {}, 'vm_listed'], ['the newest', { sort: '-createdAt' }, 'vm_listed'], ['by name', { sort: 'name' }, 'vm_by_name'], ['by name, backwards', { sort: '-name' }, 'vm_by_name'],
    ['of a folder', { folderId: folders.top }, 'vm_by_folder'], ['of a host', { hostId: hostIds[2] }, 'vm_by_host'], ['of an owner', { ownerId: owners[0] }, 'vm_by_owner'],
    ['of a template', { templateId }, 'vm_by_template'], ['of a state', { state: 'running' }, 'vm_by_state'],
  ];
  it.each(pages)('%s: is read in the order of an index', async (_what, over, key) => {
    const [vm] = await planOf(over);
    expect([vm!.table, vm!.key, vm!.type === 'ALL', /filesort|temporary/.test(vm!.Extra)]).toEqual(['vm', key, false, false]);
  });
  it.each(['createdAt', '-createdAt', 'name', '-name'])('a further one by %s begins in the index where the last one ended', async (sort) => {
    const [vm] = await planOf({ sort, cursor: await cursorOf({ sort }) });
    expect([vm!.type, vm!.key, /filesort|temporary/.test(vm!.Extra)]).toEqual(['range', sort.endsWith('name') ? 'vm_by_name' : 'vm_listed', false]);
  });
  it.each([['ip', { ip: '10.1.1.5' }], ['mac', { mac: '02:00:00:00:01:05' }], ['label', { label: 'app/tier:web' }]])('by %s: few rows are looked at', async (_what, over) => {
    const plan = await planOf(over);
    expect([plan.some(({ table, type }) => type === 'ALL' && table.startsWith('vm')), plan.reduce((product, { rows }) => product * Math.max(1, Number(rows)), 1) < 50]).toEqual([false, true]);
  });
});

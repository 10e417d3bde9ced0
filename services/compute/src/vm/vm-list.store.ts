// Lists of VMs, tens of thousands long: every filter has its index (migration 0007-lists), and a search by address asks
// the addresses first.
import { labelsAsked, type InputOf, type SortsOf, type Vm, type listVms } from '#contracts';
import { accessFilter, anyOf, beginsWith, contains, pageQuery, selectRows, sql, type Queryable, type Sql, type Who } from '#database';
import { ok, type Result } from '#kernel';
import { foldersUnder } from '../folder/folder.store.ts';
import { recordOf, type VmRow } from './vm.store.ts';

type Asked = InputOf<typeof listVms>;

/** Columns that a member of the input is compared with as it is. */
const equal: Readonly<Partial<Record<keyof Asked, string>>> = {
  state: 'vm.state', hostId: 'vm.host_id', clusterId: 'vm.cluster_id', templateId: 'vm.template_id', ownerId: 'vm.owner_id',
};

export async function pageOfVms(tx: Queryable, who: Who, input: Asked): Promise<Result<{ items: Vm[]; next: string | null }>> {
  const page = await pageQuery<VmRow>(tx, {
    select: 'vm.*', from: tableFor(who, input), orderBy: { createdAt: 'vm.created_at', name: 'vm.name' } satisfies SortsOf<typeof listVms>, id: 'vm.id', input,
    where: [
      input.recycled ? sql`vm.recycled_at IS NOT NULL AND vm.deleted_at IS NULL` : sql`vm.gone_at IS NULL`,
      accessFilter(who, 'vm.read', { id: 'vm.id', ownerId: 'vm.owner_id', folderId: 'vm.folder_id', clusterId: 'vm.cluster_id' }),
      ...Object.entries(equal).map(([member, column]) => (input[member as keyof Asked] === undefined ? null : { sql: `${column} = ?`, params: [input[member as keyof Asked]] })),
      input.name === undefined ? null : sql`vm.name = ${input.name}`,
      input.folderId === undefined ? null : sql`vm.folder_id IN (${input.subfolders ? await foldersUnder(tx, input.folderId) : [input.folderId]})`,
      ...labels(input.label),
      input.ip === undefined ? null : byAddress('ip', '=', input.ip),
      input.mac === undefined ? null : byAddress('mac', '=', input.mac),
      input.q === undefined ? null : await search(tx, input.q),
    ],
  });
  return page.ok ? ok({ items: page.value.rows.map((row) => recordOf(row).vm), next: page.value.next }) : page;
}

const indexOf = { createdAt: 'vm_listed', name: 'vm_by_name' } as const;
const narrowing: readonly (keyof Asked)[] = ['state', 'hostId', 'clusterId', 'templateId', 'ownerId', 'name', 'folderId', 'label', 'ip', 'mac'];

/**
 * A list that nothing narrows is read in the index of its order, from the cursor on. Left to itself the server takes the
 * same index from its beginning as long as more than about a third of the list lies behind the cursor.
 */
function tableFor(who: Who, input: Asked): string {
  const all = who === 'system' || who.rights.some((right) => right.scope === 'site' && right.permissions.includes('vm.read'));
  const byAddresses = input.q !== undefined && /^[0-9a-f]{2}:/i.test(input.q);
  if (!all || input.recycled || byAddresses || narrowing.some((member) => input[member] !== undefined)) return 'vm';
  return `vm FORCE INDEX (${indexOf[(input.sort ?? 'createdAt').replace('-', '') as keyof typeof indexOf]})`;
}

const labels = (label: string | undefined): Sql[] => (label === undefined ? [] : labelsAsked(label)).map(({ name, value }) =>
  sql`vm.id IN (SELECT vm_id FROM vm_label WHERE vm_label.name = ${name}${value === null ? sql`` : sql` AND vm_label.value = ${value}`})`);

const byAddress = (column: 'ip' | 'mac', how: '=' | 'LIKE', value: string): Sql => ({ sql: `vm.id IN (SELECT vm_id FROM vm_address WHERE ${column} ${how} ?)`, params: [value] });

const FOUND = 1_000;
/** No name has a colon, so what has one is a MAC address; a dotted number is searched among addresses and names. */
async function search(tx: Queryable, q: string): Promise<Sql> {
  if (/^[0-9a-f]{2}:[0-9a-f:]*$/i.test(q)) return byAddress('mac', 'LIKE', beginsWith(q.toLowerCase()));
  const named = { sql: 'vm.name LIKE ?', params: [contains(q)] };
  if (!/^\d{1,3}\.[\d.]*$/.test(q)) return named;
  const found = await selectRows<{ vm_id: string }>(tx, 'SELECT DISTINCT vm_id FROM vm_address WHERE ip LIKE ? LIMIT ?', [beginsWith(q), FOUND]);
  return anyOf([named, sql`vm.id IN (${found.map((row) => row.vm_id)})`]);
}

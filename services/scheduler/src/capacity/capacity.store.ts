// The copy of hosts and clusters that placement looks at. Compute owns the truth; this can be emptied and rebuilt.
import type { EntityManager } from 'typeorm';
import type { Cluster, Host, InputOf, listCapacity, SortsOf } from '#contracts';
import { accessFilter, execute, fromBit, pageQuery, searchFilter, selectRow, selectRows, sql, type Queryable, type Who } from '#database';
import { ok, type Result } from '#kernel';
import type { z } from 'zod';
import type { HostCapacity } from '#contracts';
import { capacityOf, usableBytes, type HostView } from '../placement/placement.ts';

interface ViewRow {
  host_id: string; cluster_id: string; name: string; connected: number; maintenance: number; state_text: string;
  logical_cpus: number; memory_bytes: number | string; vcpus_capacity: number; memory_capacity: number | string;
  vcpus_claimed: number; memory_claimed: number | string;
  cpu_mhz: number; memory_physical: number | string; cpu_reserved: number; memory_reserved: number | string;
}
const viewOf = (row: ViewRow): HostView => ({
  hostId: row.host_id, name: row.name, clusterId: row.cluster_id,
  connected: fromBit(row.connected), maintenance: fromBit(row.maintenance), stateText: row.state_text,
  vcpusCapacity: row.vcpus_capacity, memoryCapacity: Number(row.memory_capacity), vcpusClaimed: row.vcpus_claimed, memoryClaimed: Number(row.memory_claimed),
  cpuMhz: row.cpu_mhz, memoryPhysical: Number(row.memory_physical), cpuReserved: row.cpu_reserved, memoryReserved: Number(row.memory_reserved),
});
type CapacityValue = z.output<typeof HostCapacity>;

export async function hostViews(tx: Queryable): Promise<HostView[]> {
  return (await selectRows<ViewRow>(tx, 'SELECT * FROM host_view')).map(viewOf);
}

const defaultRatios = { cpuOvercommit: 1, memoryOvercommit: 1 };
async function ratiosOf(tx: Queryable, clusterId: string): Promise<typeof defaultRatios> {
  const row = await selectRow<{ cpu_overcommit: number; memory_overcommit: number }>(tx, 'SELECT * FROM cluster_view WHERE cluster_id = ?', [clusterId]);
  return row ? { cpuOvercommit: row.cpu_overcommit, memoryOvercommit: row.memory_overcommit } : defaultRatios;
}

/** Takes a host over unless a later version of it is known. Claims on it stay. */
export async function keepHost(tx: EntityManager, host: Host): Promise<void> {
  const logicalCpus = host.inventory?.cpu.logical ?? 0;
  const memoryBytes = host.inventory?.memoryBytes ?? 0;
  const capacity = capacityOf({ logicalCpus, memoryBytes }, await ratiosOf(tx, host.clusterId));
  const row = {
    cluster_id: host.clusterId, name: host.name, connected: host.state === 'connected', maintenance: host.maintenance, state_text: host.state,
    logical_cpus: logicalCpus, memory_bytes: memoryBytes, vcpus_capacity: capacity.vcpus, memory_capacity: capacity.memoryBytes,
    cpu_mhz: logicalCpus * (host.inventory?.cpu.mhz ?? 0), memory_physical: usableBytes(memoryBytes),
  };
  const columns = Object.keys(row);
  // The version is set last: MariaDB evaluates assignments from left to right.
  const newer = [...columns.map((column) => `${column} = IF(version <= VALUES(version), VALUES(${column}), ${column})`), 'version = GREATEST(version, VALUES(version))'];
  await execute(tx, `INSERT INTO host_view (${columns.join(', ')}, host_id, version) VALUES (${columns.map(() => '?').join(', ')}, ?, ?)
    ON DUPLICATE KEY UPDATE ${newer.join(', ')}`, [...Object.values(row), host.id, host.version]);
}

export async function forgetHost(tx: EntityManager, hostId: string): Promise<void> {
  await execute(tx, 'DELETE FROM host_view WHERE host_id = ?', [hostId]);
}

export async function keepCluster(tx: EntityManager, cluster: z.output<typeof Cluster>): Promise<void> {
  await execute(tx, `INSERT INTO cluster_view (cluster_id, cpu_overcommit, memory_overcommit) VALUES (?, ?, ?)
    ON DUPLICATE KEY UPDATE cpu_overcommit = VALUES(cpu_overcommit), memory_overcommit = VALUES(memory_overcommit)`,
    [cluster.id, cluster.cpuOvercommit, cluster.memoryOvercommit]);
  for (const row of await selectRows<ViewRow>(tx, 'SELECT * FROM host_view WHERE cluster_id = ? FOR UPDATE', [cluster.id])) {
    const capacity = capacityOf({ logicalCpus: row.logical_cpus, memoryBytes: Number(row.memory_bytes) }, cluster);
    await execute(tx, 'UPDATE host_view SET vcpus_capacity = ?, memory_capacity = ? WHERE host_id = ?', [capacity.vcpus, capacity.memoryBytes, row.host_id]);
  }
}

export async function forgetCluster(tx: EntityManager, clusterId: string): Promise<void> {
  await execute(tx, 'DELETE FROM cluster_view WHERE cluster_id = ?', [clusterId]);
}

export async function pageOfCapacity(tx: Queryable, who: Who, input: InputOf<typeof listCapacity>): Promise<Result<{ items: CapacityValue[]; next: string | null }>> {
  const page = await pageQuery<ViewRow>(tx, {
    select: 'host_view.*', from: 'host_view', orderBy: { hostName: 'host_view.name' } satisfies SortsOf<typeof listCapacity>, id: 'host_view.host_id', input,
    where: [
      accessFilter(who, 'placement.read', { id: 'host_view.host_id', clusterId: 'host_view.cluster_id' }),
      input.clusterId === undefined ? null : sql`host_view.cluster_id = ${input.clusterId}`,
      searchFilter(input.q, 'host_view.name'),
    ],
  });
  if (!page.ok) return page;
  const items = page.value.rows.map((row): CapacityValue => ({
    hostId: row.host_id as CapacityValue['hostId'], hostName: row.name, vcpus: row.vcpus_capacity, vcpusClaimed: row.vcpus_claimed,
    memoryBytes: Number(row.memory_capacity), memoryClaimedBytes: Number(row.memory_claimed),
    cpuMhz: row.cpu_mhz, cpuReservedMhz: row.cpu_reserved, memoryPhysicalBytes: Number(row.memory_physical), memoryReservedBytes: Number(row.memory_reserved),
  }));
  return ok({ items, next: page.value.next });
}

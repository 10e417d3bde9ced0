// Claims: capacity held on a host for one VM. A claim and the host's sums change in one statement that checks the room,
// so any number of replicas together never promise more than there is.
import type { EntityManager } from 'typeorm';
import { Busy, claimChanged, type Claim, type InputOf, type SortsOf, type listClaims } from '#contracts';
import { accessFilter, dbNow, execute, insertRow, isDuplicate, isoAt, pageQuery, selectRow, sql, type Queryable, type Who } from '#database';
import { FaultError, newUuid, ok, type Result } from '#kernel';
import { emit, type Emission } from '#tasks';
import type { z } from 'zod';

export type ClaimValue = z.output<typeof Claim>;
interface ClaimRow { id: string; vm_id: string; host_id: string; vcpus: number; memory_bytes: number | string; cpu_reserved: number; memory_reserved: number | string; created_at: Date }
const claimOf = (row: ClaimRow): ClaimValue => ({
  id: row.id as ClaimValue['id'], vmId: row.vm_id as ClaimValue['vmId'], hostId: row.host_id as ClaimValue['hostId'],
  vcpus: row.vcpus, memoryBytes: Number(row.memory_bytes), cpuReservedMhz: row.cpu_reserved, memoryReservedBytes: Number(row.memory_reserved), createdAt: isoAt(row.created_at),
});

type By = Pick<Emission<typeof claimChanged>, 'ctx'>;
const tell = (tx: EntityManager, claim: ClaimValue, gone: boolean, by: By): Promise<void> =>
  emit(tx, claimChanged, { objectId: claim.id, data: { claim, gone }, ...by });

export async function claimOfVm(tx: EntityManager, vmId: string): Promise<ClaimValue | undefined> {
  const row = await selectRow<ClaimRow>(tx, 'SELECT * FROM claim WHERE vm_id = ? FOR UPDATE', [vmId]);
  return row && claimOf(row);
}

export type Demanded = Pick<ClaimValue, 'vcpus' | 'memoryBytes' | 'cpuReservedMhz' | 'memoryReservedBytes'>;

/** Holds the capacity, or answers undefined when the host has no room (any more). BUSY = somebody else claims for the VM just now. */
export async function takeClaim(tx: EntityManager, hostId: string, vmId: string, { vcpus, memoryBytes, cpuReservedMhz, memoryReservedBytes }: Demanded, by: By = {}): Promise<ClaimValue | undefined> {
  const sizes = [vcpus, memoryBytes, cpuReservedMhz, memoryReservedBytes];
  // Who reserves nothing fits beside reservations that are more than the host has (any more).
  const met = await execute(tx, `UPDATE host_view SET vcpus_claimed = vcpus_claimed + ?, memory_claimed = memory_claimed + ?, cpu_reserved = cpu_reserved + ?, memory_reserved = memory_reserved + ?
    WHERE host_id = ? AND connected = 1 AND maintenance = 0 AND vcpus_claimed + ? <= vcpus_capacity AND memory_claimed + ? <= memory_capacity
    AND (? = 0 OR cpu_reserved + ? <= cpu_mhz) AND (? = 0 OR memory_reserved + ? <= memory_physical)`,
    [...sizes, hostId, vcpus, memoryBytes, cpuReservedMhz, cpuReservedMhz, memoryReservedBytes, memoryReservedBytes]);
  if (met === 0) return undefined;
  try {
    await insertRow(tx, 'claim', { id: newUuid(), vm_id: vmId, host_id: hostId, vcpus, memory_bytes: memoryBytes, cpu_reserved: cpuReservedMhz, memory_reserved: memoryReservedBytes, created_at: await dbNow(tx) });
  } catch (error) {
    throw isDuplicate(error) ? new FaultError(Busy.fault('A claim for this VM is being made.', { noun: 'claim', id: vmId })) : error;
  }
  const claim = await claimOfVm(tx, vmId);
  if (claim) await tell(tx, claim, false, by);
  return claim;
}

export type Reserved = Pick<ClaimValue, 'cpuReservedMhz' | 'memoryReservedBytes'>;

/** Reserves more or less for a claim where it is; undefined when the host has no more to reserve. */
export async function resizeReserved(tx: EntityManager, claim: ClaimValue, { cpuReservedMhz, memoryReservedBytes }: Reserved, by: By = {}): Promise<ClaimValue | undefined> {
  const [cpu, memory] = [cpuReservedMhz - claim.cpuReservedMhz, memoryReservedBytes - claim.memoryReservedBytes];
  if (cpu === 0 && memory === 0) return claim;
  const met = await execute(tx, `UPDATE host_view SET cpu_reserved = GREATEST(0, cpu_reserved + ?), memory_reserved = GREATEST(0, memory_reserved + ?)
    WHERE host_id = ? AND (? <= 0 OR cpu_reserved + ? <= cpu_mhz) AND (? <= 0 OR memory_reserved + ? <= memory_physical)`, [cpu, memory, claim.hostId, cpu, cpu, memory, memory]);
  // A host that has left the view keeps its claims; they are counted when it comes back.
  if (met === 0 && (cpu > 0 || memory > 0)) return undefined;
  await execute(tx, 'UPDATE claim SET cpu_reserved = ?, memory_reserved = ? WHERE id = ?', [cpuReservedMhz, memoryReservedBytes, claim.id]);
  const resized = { ...claim, cpuReservedMhz, memoryReservedBytes };
  await tell(tx, resized, false, by);
  return resized;
}

/** Gives the capacity back; undefined = there was no claim. */
export async function dropClaim(tx: EntityManager, vmId: string, by: By = {}): Promise<ClaimValue | undefined> {
  const claim = await claimOfVm(tx, vmId);
  if (!claim) return undefined;
  await execute(tx, 'DELETE FROM claim WHERE id = ?', [claim.id]);
  await execute(tx, `UPDATE host_view SET vcpus_claimed = GREATEST(0, vcpus_claimed - ?), memory_claimed = GREATEST(0, memory_claimed - ?),
    cpu_reserved = GREATEST(0, cpu_reserved - ?), memory_reserved = GREATEST(0, memory_reserved - ?)
    WHERE host_id = ?`, [claim.vcpus, claim.memoryBytes, claim.cpuReservedMhz, claim.memoryReservedBytes, claim.hostId]);
  await tell(tx, claim, true, by);
  return claim;
}

/** Sets a host's sums to what its claims add up to; for a host that came (back) into the view. */
export async function recount(tx: EntityManager, hostId: string): Promise<void> {
  await selectRow(tx, 'SELECT host_id FROM host_view WHERE host_id = ? FOR UPDATE', [hostId]);
  const sumOf = (column: string): string => `(SELECT COALESCE(SUM(claim.${column}), 0) FROM claim WHERE claim.host_id = host_view.host_id)`;
  await execute(tx, `UPDATE host_view SET vcpus_claimed = ${sumOf('vcpus')}, memory_claimed = ${sumOf('memory_bytes')},
    cpu_reserved = ${sumOf('cpu_reserved')}, memory_reserved = ${sumOf('memory_reserved')} WHERE host_id = ?`, [hostId]);
}

export async function pageOfClaims(tx: Queryable, who: Who, input: InputOf<typeof listClaims>): Promise<Result<{ items: ClaimValue[]; next: string | null }>> {
  const page = await pageQuery<ClaimRow>(tx, {
    select: 'claim.*', from: 'claim LEFT JOIN host_view ON host_view.host_id = claim.host_id',
    orderBy: { createdAt: 'claim.created_at' } satisfies SortsOf<typeof listClaims>, id: 'claim.id', input,
    where: [
      accessFilter(who, 'placement.read', { id: 'claim.host_id', clusterId: 'host_view.cluster_id' }),
      input.hostId === undefined ? null : sql`claim.host_id = ${input.hostId}`,
      input.vmId === undefined ? null : sql`claim.vm_id = ${input.vmId}`,
    ],
  });
  return page.ok ? ok({ items: page.value.rows.map(claimOf), next: page.value.next }) : page;
}

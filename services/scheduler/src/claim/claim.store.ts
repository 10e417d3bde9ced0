// Claims: capacity held on a host for one VM. A claim and the host's sums change in one statement that checks the room,
// so any number of replicas together never promise more than there is.
import type { EntityManager } from 'typeorm';
import { Busy, claimChanged, type Claim, type InputOf, type SortsOf, type listClaims } from '#contracts';
import { accessFilter, dbNow, execute, insertRow, isDuplicate, isoAt, pageQuery, selectRow, selectRows, sql, type Queryable, type Who } from '#database';
import { FaultError, newUuid, ok, type Result } from '#kernel';
import { emit, type Emission } from '#tasks';
import type { z } from 'zod';

export type ClaimValue = z.output<typeof Claim>;
interface ClaimRow { id: string; vm_id: string; host_id: string; vcpus: number; memory_bytes: number | string; created_at: Date }
const claimOf = (row: ClaimRow): ClaimValue => ({
  id: row.id as ClaimValue['id'], vmId: row.vm_id as ClaimValue['vmId'], hostId: row.host_id as ClaimValue['hostId'],
  vcpus: row.vcpus, memoryBytes: Number(row.memory_bytes), createdAt: isoAt(row.created_at),
});

type By = Pick<Emission<typeof claimChanged>, 'ctx'>;
const tell = (tx: EntityManager, claim: ClaimValue, gone: boolean, by: By): Promise<void> =>
  emit(tx, claimChanged, { objectId: claim.id, data: { claim, gone }, ...by });

export async function claimOfVm(tx: EntityManager, vmId: string): Promise<ClaimValue | undefined> {
  const row = await selectRow<ClaimRow>(tx, 'SELECT * FROM claim WHERE vm_id = ? FOR UPDATE', [vmId]);
  return row && claimOf(row);
}

export interface Demanded { readonly vcpus: number; readonly memoryBytes: number }

/** Holds the capacity, or answers undefined when the host has no room (any more). BUSY = somebody else claims for the VM just now. */
export async function takeClaim(tx: EntityManager, hostId: string, vmId: string, { vcpus, memoryBytes }: Demanded, by: By = {}): Promise<ClaimValue | undefined> {
  const met = await execute(tx, `UPDATE host_view SET vcpus_claimed = vcpus_claimed + ?, memory_claimed = memory_claimed + ?
    WHERE host_id = ? AND connected = 1 AND maintenance = 0 AND vcpus_claimed + ? <= vcpus_capacity AND memory_claimed + ? <= memory_capacity`,
    [vcpus, memoryBytes, hostId, vcpus, memoryBytes]);
  if (met === 0) return undefined;
  try {
    await insertRow(tx, 'claim', { id: newUuid(), vm_id: vmId, host_id: hostId, vcpus, memory_bytes: memoryBytes, created_at: await dbNow(tx) });
  } catch (error) {
    throw isDuplicate(error) ? new FaultError(Busy.fault('A claim for this VM is being made.', { noun: 'claim', id: vmId })) : error;
  }
  const claim = await claimOfVm(tx, vmId);
  if (claim) await tell(tx, claim, false, by);
  return claim;
}

/** Gives the capacity back; undefined = there was no claim. */
export async function dropClaim(tx: EntityManager, vmId: string, by: By = {}): Promise<ClaimValue | undefined> {
  const claim = await claimOfVm(tx, vmId);
  if (!claim) return undefined;
  await execute(tx, 'DELETE FROM claim WHERE id = ?', [claim.id]);
  await execute(tx, `UPDATE host_view SET vcpus_claimed = GREATEST(0, vcpus_claimed - ?), memory_claimed = GREATEST(0, memory_claimed - ?)
    WHERE host_id = ?`, [claim.vcpus, claim.memoryBytes, claim.hostId]);
  await tell(tx, claim, true, by);
  return claim;
}

/** Sets a host's sums to what its claims add up to; for a host that came (back) into the view. */
export async function recount(tx: EntityManager, hostId: string): Promise<void> {
  await selectRow(tx, 'SELECT host_id FROM host_view WHERE host_id = ? FOR UPDATE', [hostId]);
  await execute(tx, `UPDATE host_view SET
    vcpus_claimed = (SELECT COALESCE(SUM(vcpus), 0) FROM claim WHERE claim.host_id = host_view.host_id),
    memory_claimed = (SELECT COALESCE(SUM(memory_bytes), 0) FROM claim WHERE claim.host_id = host_view.host_id) WHERE host_id = ?`, [hostId]);
}

/** Claims that have stood a while, oldest first: their VMs are asked for. */
export async function oldClaims(tx: Queryable, olderThanMinutes: number, limit: number): Promise<ClaimValue[]> {
  const rows = await selectRows<ClaimRow>(tx,
    'SELECT * FROM claim WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL ? MINUTE ORDER BY created_at LIMIT ?', [olderThanMinutes, limit]);
  return rows.map(claimOf);
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

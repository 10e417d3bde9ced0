// Claims against VMs. Before a claim is given back or made, compute is asked once more how the VM stands.
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { InUse, NoCapacity, standingVms, type DriftFinding, type StandingVm, type VmId } from '#contracts';
import { selectRows, transaction } from '#database';
import { ok, orThrow, type Result } from '#kernel';
import type { DriftSource } from '#service';
import { claimOfVm, dropClaim, takeClaim } from '../claim/claim.store.ts';
import { judgeClaims, type HeldClaim } from './drift.ts';

type Asking = Pick<BusClient, 'request'>;
const PAGE = 1_000;
const ASKED_AT_ONCE = 500;

async function onHosts(bus: Asking): Promise<StandingVm[]> {
  const all: StandingVm[] = [];
  for (let after: VmId | undefined; ;) {
    const { vms } = orThrow(await bus.request(standingVms, { limit: PAGE, ...(after === undefined ? {} : { after }) }, { as: 'system' }));
    all.push(...vms);
    if (vms.length < PAGE) return all;
    after = vms.at(-1)?.vmId;
  }
}

async function named(bus: Asking, vmIds: readonly VmId[]): Promise<StandingVm[]> {
  const all: StandingVm[] = [];
  for (let from = 0; from < vmIds.length; from += ASKED_AT_ONCE) {
    all.push(...orThrow(await bus.request(standingVms, { vmIds: vmIds.slice(from, from + ASKED_AT_ONCE) }, { as: 'system' })).vms);
  }
  return all;
}

/** The finding as it would be judged now; undefined = it is in order by now. */
async function stillSo(bus: Asking, db: DataSource, { kind, evidence }: DriftFinding): Promise<StandingVm | 'gone' | undefined> {
  const vmId = String(evidence['vmId']) as VmId;
  const [vm] = await named(bus, [vmId]);
  const claims = (await heldClaims(db)).filter((claim) => claim.vmId === vmId);
  return judgeClaims(claims, vm === undefined ? [] : [vm]).some((one) => one.kind === kind) ? (vm ?? 'gone') : undefined;
}

const heldClaims = async (db: DataSource): Promise<HeldClaim[]> =>
  (await selectRows<{ id: string; vm_id: string; host_id: string }>(db, 'SELECT id, vm_id, host_id FROM claim')).map((row) => ({ id: row.id, vmId: row.vm_id, hostId: row.host_id }));

const inOrder = (): Result<never> => InUse.fail('It is in order by now, or a task works on the VM.', { by: [] });

export const claimDrift = (db: DataSource, bus: Asking): DriftSource => ({
  name: 'claims',
  look: async () => {
    // Of VMs that run, the VMs first: their claims are older than they are. Of claims, the claims first: they go before their VM does.
    const running = await onHosts(bus);
    const claims = await heldClaims(db);
    const claimed = await named(bus, claims.map(({ vmId }) => vmId as VmId));
    const vms = new Map([...running, ...claimed].map((vm) => [vm.vmId, vm]));
    return [{ scope: 'claim', population: claims.length + running.length, differences: judgeClaims(claims, [...vms.values()]) }];
  },
  repair: {
    'claim-stray': async (finding) => {
      if ((await stillSo(bus, db, finding)) === undefined) return inOrder();
      return transaction(db, async (tx) => {
        const vmId = String(finding.evidence['vmId']);
        // A claim that was made since is another one.
        if ((await claimOfVm(tx, vmId))?.id === finding.object.id) await dropClaim(tx, vmId);
        return ok({});
      });
    },
    'claim-missing': async (finding) => {
      const vm = await stillSo(bus, db, finding);
      if (vm === undefined || vm === 'gone') return inOrder();
      const claim = await transaction(db, async (tx) => (await claimOfVm(tx, vm.vmId)) ?? takeClaim(tx, vm.hostId ?? '', vm.vmId, vm.demand));
      return claim === undefined ? NoCapacity.fail('The VM’s host has no room in the cluster’s ratio for what it takes already.', { refusals: [] }) : ok({});
    },
  },
});

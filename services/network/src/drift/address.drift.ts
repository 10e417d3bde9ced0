// Ports, with their MAC and IP addresses, that are kept for VMs which are gone.
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { InUse, portChanged, standingVms, type VmId } from '#contracts';
import { selectRows, transaction } from '#database';
import { ok, orThrow } from '#kernel';
import type { DriftSource } from '#service';
import { emit } from '#tasks';
import { deletePorts, lockPort } from '../port/port.store.ts';

type Asking = Pick<BusClient, 'request'>;
const ASKED_AT_ONCE = 500;

/** The VMs of these that there are; compute has the truth. */
async function standing(bus: Asking, vmIds: readonly VmId[]): Promise<Set<string>> {
  const found = new Set<string>();
  for (let from = 0; from < vmIds.length; from += ASKED_AT_ONCE) {
    const { vms } = orThrow(await bus.request(standingVms, { vmIds: vmIds.slice(from, from + ASKED_AT_ONCE) }, { as: 'system' }));
    for (const { vmId } of vms) found.add(vmId);
  }
  return found;
}

export const addressDrift = (db: DataSource, bus: Asking): DriftSource => ({
  name: 'addresses',
  look: async () => {
    // Rows of ports first: a VM is written down before its ports, and goes after them.
    const ports = await selectRows<{ id: string; vm_id: VmId; mac: string; version: number }>(db, 'SELECT id, vm_id, mac, version FROM port');
    const vms = await standing(bus, [...new Set(ports.map(({ vm_id }) => vm_id))]);
    const stray = ports.filter(({ vm_id }) => !vms.has(vm_id));
    return [{
      scope: 'port', population: ports.length,
      differences: stray.map(({ id, vm_id, mac, version }) => ({ kind: 'address-stray', objectId: id, objectName: mac, text: `the port with ${mac} is kept for the VM ${vm_id}, which is gone`, evidence: { vmId: vm_id, version }, touches: [vm_id] })),
    }];
  },
  repair: {
    'address-stray': async ({ object, evidence }) => {
      const vmId = String(evidence['vmId']) as VmId;
      if ((await standing(bus, [vmId])).has(vmId)) return InUse.fail('The VM is there.', { by: [{ noun: 'vm', id: vmId }] });
      return transaction(db, async (tx) => {
        const port = await lockPort(tx, object.id);
        if (port === undefined || port.vmId !== vmId) return ok({});
        await deletePorts(tx, [port.id]);
        await emit(tx, portChanged, { objectId: port.id, data: { port, gone: true } });
        return ok({});
      });
    },
  },
});

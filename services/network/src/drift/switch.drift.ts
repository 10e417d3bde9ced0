// The switches and ports of hosts, against what the pool has given them and what runs there.
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { HostCommandFailed, hostPortMend, hostPortRemove, hostSwitchRemove, hostSwitchSurvey, type DriftFinding, type HostId, type SwitchId } from '#contracts';
import { execute, fromBit, selectRows, type Queryable } from '#database';
import { failed, ok, type Result } from '#kernel';
import type { Act, DriftSource, Look } from '#service';
import { connectedHostIds } from '../host/host.store.ts';
import type { SwitchApplier } from '../switch/switch.applier.ts';
import { judgeHost, type GivenSwitch } from './drift.ts';

const ASKED_AT_ONCE = 16;
const ASK_MS = 10_000;

export function switchDrift(db: DataSource, bus: Pick<BusClient, 'requestHost'>, applier: Pick<SwitchApplier, 'apply'>): DriftSource {
  const remove = (foreign: boolean): Act => (finding, commandId) =>
    bus.requestHost(hostOf(finding), hostPortRemove, { commandId, ifname: String(finding.evidence['ifname']), foreign }, { as: 'system', timeoutMs: ASK_MS });
  return {
    name: 'switches',
    look: async (signal) => {
      const looks: Look[] = [];
      const queue = await connectedHostIds(db);
      const ask = async (): Promise<void> => {
        for (let hostId = queue.shift(); hostId !== undefined && !signal.aborted; hostId = queue.shift()) {
          const told = await bus.requestHost(hostId, hostSwitchSurvey, {}, { as: 'system', timeoutMs: ASK_MS });
          if (!told.ok) continue;
          const differences = judgeHost(told.value, await givenTo(db, hostId)).map((one) => ({ ...one, hostId }));
          looks.push({ scope: `host ${hostId}`, population: told.value.ports.length + told.value.switches.length, differences });
        }
      };
      await Promise.all(Array.from({ length: ASKED_AT_ONCE }, ask));
      return looks;
    },
    repair: {
      'port-stray': remove(false),
      'port-foreign': remove(true),
      'port-missing': (finding, commandId) => {
        const { vmId, nicId, tap } = finding.evidence;
        if (tap !== true) return Promise.resolve(HostCommandFailed.fail('QEMU has lost the tap: the NIC works again after the VM was switched off and on.', { reason: 'no tap' }));
        return bus.requestHost(hostOf(finding), hostPortMend, { commandId, vmId: String(vmId), nicId: String(nicId) }, { as: 'system', timeoutMs: ASK_MS });
      },
      'switch-unknown': (finding, commandId) => bus.requestHost(hostOf(finding), hostSwitchRemove, { commandId, switchId: String(finding.evidence['switchId']) }, { as: 'system', timeoutMs: ASK_MS }),
      'switch-missing': async (finding): Promise<Result<unknown>> => {
        const switchId = finding.object.id as SwitchId;
        await execute(db, 'UPDATE dvswitch_host SET recheck = 1, attempt = attempt + 1 WHERE switch_id = ? AND host_id = ? AND wanted = 1', [switchId, hostOf(finding)]);
        const refused = (await applier.apply(switchId)).find(({ hostId }) => hostId === finding.hostId);
        return refused === undefined ? ok({}) : failed(refused.fault);
      },
    },
  };
}

/** A part that the host has to be told of just now is not what it had said: nothing is expected of it. */
async function givenTo(db: Queryable, hostId: string): Promise<GivenSwitch[]> {
  const rows = await selectRows<{ id: string; name: string; wanted: number; state: string; generation: number; recheck: number; deleting: number }>(db,
    'SELECT s.id, s.name, s.deleting, h.wanted, h.state, h.generation, h.recheck FROM dvswitch_host h JOIN dvswitch s ON s.id = h.switch_id WHERE h.host_id = ?', [hostId]);
  return rows.map((row) => ({
    switchId: row.id, name: row.name, wanted: fromBit(row.wanted) && !fromBit(row.deleting), applied: row.state === 'applied' && !fromBit(row.recheck) ? row.generation : null,
  }));
}

const hostOf = ({ hostId }: DriftFinding): HostId => {
  if (hostId === null) throw new Error('a finding of a host without the host');
  return hostId;
};

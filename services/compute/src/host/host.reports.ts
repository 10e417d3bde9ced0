// Turns what hosts say into rows and events. A report is believed about the host that sent it and its own VMs only; an
// unregistered host is ignored. What is missed while nobody listens is asked for again (host.reconciler).
import type { DataSource, EntityManager } from 'typeorm';
import type { BusClient, BusLog } from '#bus';
import {
  hostChanged, hostStatus, hostVmDelete, vmChanged,
  type BodyOf, type HostVmStatus, type ReplyOf, type ReportOrder, type VmId, type hostJoined, type hostVmChanged,
} from '#contracts';
import { afterCommit, transaction } from '#database';
import { emit } from '#tasks';
import type { UidRange } from '../vm/vm.commands.ts';
import { agrees, doubtfulVms, observe, touchObserved } from '../vm/vm-status.store.ts';
import { changeVm, lockVm, vmsById, vmsEverHad, vmsOnHost } from '../vm/vm.store.ts';
import { holdsHost } from '../vm/vm.ts';
import { isUnconfirmed, noteHeartbeat, setHostState, stateOfHost, takeOrder, vmReportAge } from './host-order.store.ts';
import { findHost, setInventory } from './host.store.ts';

type Told = Pick<ReplyOf<typeof hostStatus>, 'inventory' | 'vms' | 'unmanaged'>;

/** A host that says it does not have a VM which should be there. */
const absent = (vmId: VmId, epoch: number): HostVmStatus =>
  ({ vmId, state: 'absent', epoch, pid: null, startedAt: null, exitReason: null, detail: null, saved: null, guestAgent: false, guestAddresses: [], memory: null });

const DOUBTED_AT_ONCE = 500;

export class HostReports {
  /** Looks that go on; true = somebody asked for another one meanwhile. */
  private readonly looking = new Map<string, boolean>();
  /** Hosts that said something else than the rows of VMs which were not to be touched then. */
  private readonly unsettled = new Set<string>();

  constructor(
    private readonly db: DataSource,
    private readonly bus: Pick<BusClient, 'requestHost'>,
    private readonly uids: UidRange,
    private readonly log: BusLog,
  ) {}

  async joined(hostId: string, body: BodyOf<typeof hostJoined>): Promise<void> {
    const age = await transaction(this.db, async (tx) => {
      const found = await takeOrder(tx, hostId, body.order);
      if (found === 'news') await this.keepHost(tx, hostId, body);
      return found;
    });
    if (age === undefined) this.stranger(hostId);
    if (age !== 'news') return;
    for (const status of body.vms) await this.observeOne(hostId, status, body.order);
    // What the report does not name may have been started since it was written: only an answer can say that it is gone.
    this.lookSoon(hostId);
  }

  async vmChanged(hostId: string, body: BodyOf<typeof hostVmChanged>): Promise<void> {
    const age = await vmReportAge(this.db, hostId, body.order);
    if (age === undefined) this.stranger(hostId);
    if (age === 'unclear') this.lookSoon(hostId);
    if (age === 'news') await this.observeOne(hostId, body.vm, body.order);
  }

  /**
   * Asks a host what it sees. False = it does not answer. The answer is older than the moment it arrives, so it counts
   * only for VMs that nobody touched since the question: a start that overtook it would otherwise look like an absence.
   */
  async look(hostId: string): Promise<boolean> {
    const before = await vmsOnHost(this.db, hostId);
    const told = await this.bus.requestHost(hostId, hostStatus, {}, { as: 'system', timeoutMs: 3_000 });
    if (!told.ok) {
      await transaction(this.db, (tx) => this.lostUnheard(tx, hostId));
      return false;
    }
    const known = await transaction(this.db, async (tx) => (await stateOfHost(tx, hostId)) !== undefined && this.keepHost(tx, hostId, told.value));
    if (!known) return true;
    const said = new Map(told.value.vms.map((status) => [status.vmId as string, status]));
    const same: string[] = [];
    let settled = true;
    for (const record of before) {
      const { vm } = record;
      const status = said.get(vm.id) ?? (holdsHost.includes(vm.status.state) ? absent(vm.id, vm.status.epoch) : undefined);
      if (!status) continue;
      if (agrees(record, status)) {
        if (vm.taskId === null) same.push(vm.id);
      } else if (vm.taskId !== null || !(await this.observeOne(hostId, status, null, vm.version))) settled = false;
    }
    if (settled) this.unsettled.delete(hostId);
    else this.unsettled.add(hostId);
    await touchObserved(this.db, same);
    await this.cleanUp(hostId, told.value.vms);
    return true;
  }

  /** Those whose last answer could not be taken over whole. */
  hostsToAskAgain(): readonly string[] {
    return [...this.unsettled];
  }

  /** Looks without making anybody wait; at most one look at a host goes on at a time. */
  lookSoon(hostId: string): void {
    if (this.looking.has(hostId)) {
      this.looking.set(hostId, true);
      return;
    }
    this.looking.set(hostId, false);
    this.look(hostId)
      .catch((error: unknown) => { this.log.warn({ err: error, hostId }, 'could not take over what the host says'); })
      .finally(() => {
        const again = this.looking.get(hostId) === true;
        this.looking.delete(hostId);
        if (again) this.lookSoon(hostId);
      });
  }

  /** Its heartbeat is there again: what it runs is asked for. */
  async heard(tx: EntityManager, hostId: string): Promise<void> {
    await noteHeartbeat(tx, hostId, 'connected');
    afterCommit(tx, () => { this.lookSoon(hostId); });
  }

  /** Its heartbeat is missing. */
  async lost(tx: EntityManager, hostId: string): Promise<void> {
    await noteHeartbeat(tx, hostId, 'not-responding');
    await this.giveUp(tx, hostId, 'its heartbeat is missing');
  }

  /**
   * A host that answered or joined counts as connected at once. If it falls silent before ha has heard a heartbeat of it, ha
   * has no change to tell, so the silence is noticed here: such a host is asked again until ha confirms it.
   */
  private async lostUnheard(tx: EntityManager, hostId: string): Promise<void> {
    if (await isUnconfirmed(tx, hostId)) await this.giveUp(tx, hostId, 'it does not answer, and its heartbeat is missing');
  }

  /** Nobody knows what runs there. Nothing is started elsewhere. */
  private async giveUp(tx: EntityManager, hostId: string, reason: string): Promise<void> {
    if ((await stateOfHost(tx, hostId)) !== 'connected') return;
    await setHostState(tx, hostId, 'not-responding', reason);
    await this.tell(tx, hostId);
    // Apart from this transaction, which would grow with the host; the reconciler does it if this process dies now.
    afterCommit(tx, () => {
      this.doubt().catch((error: unknown) => { this.log.warn({ err: error, hostId }, 'VMs of a lost host are not marked yet'); });
    });
  }

  /** Marks the VMs of hosts that do not respond: nobody knows what they are. */
  async doubt(): Promise<void> {
    for (;;) {
      const ids = await doubtfulVms(this.db, DOUBTED_AT_ONCE);
      for (const id of ids) await transaction(this.db, (tx) => this.doubtOne(tx, id));
      if (ids.length < DOUBTED_AT_ONCE) return;
    }
  }

  private async doubtOne(tx: EntityManager, vmId: string): Promise<void> {
    const vm = (await lockVm(tx, vmId))?.vm;
    if (!vm || vm.taskId !== null || vm.status.state === 'unknown' || !holdsHost.includes(vm.status.state)) return;
    if (vm.status.hostId === null || (await stateOfHost(tx, vm.status.hostId)) === 'connected') return;
    const next = await changeVm(tx, vmId, { state: 'unknown', reason: 'the host does not respond' });
    await emit(tx, vmChanged, { objectId: vmId, data: { vm: next, from: vm.status.state } });
  }

  private stranger(hostId: string): void {
    this.log.info({ hostId }, 'a host that is not registered reports; ignored');
  }

  private async keepHost(tx: EntityManager, hostId: string, told: Told): Promise<true> {
    const { from, to } = told.inventory.vmUids;
    const usable = from <= this.uids.first && to >= this.uids.last;
    const reason = usable ? null : `its uid range ${from}-${to} does not cover the site’s ${this.uids.first}-${this.uids.last}`;
    const turned = await setHostState(tx, hostId, usable ? 'connected' : 'not-responding', reason);
    const news = await setInventory(tx, hostId, told.inventory, told.unmanaged);
    if (turned || news) await this.tell(tx, hostId);
    return true;
  }

  /** `version` = only if the VM is still as it was then; false = it is not. */
  private observeOne(hostId: string, status: HostVmStatus, order: ReportOrder | null, version?: number): Promise<boolean> {
    return transaction(this.db, async (tx) => {
      const record = await lockVm(tx, status.vmId);
      if (record?.vm.status.hostId !== hostId) return true;
      if (version !== undefined && record.vm.version !== version) return false;
      const next = await observe(tx, record, status, order);
      if (next) await emit(tx, vmChanged, { objectId: next.id, data: { vm: next, from: record.vm.status.state } });
      return true;
    });
  }

  private async tell(tx: EntityManager, hostId: string): Promise<void> {
    const host = await findHost(tx, hostId);
    if (host) await emit(tx, hostChanged, { objectId: hostId, data: { host } });
  }

  /**
   * Has the host forget VMs that are gone or live elsewhere. Only what does not run is removed: a running QEMU is never
   * ended because a row is missing. What the pool has never had is nobody's to remove here: it is a finding (host.drift).
   */
  private async cleanUp(hostId: string, told: readonly HostVmStatus[]): Promise<void> {
    const known = new Map((await vmsById(this.db, told.map((status) => status.vmId))).map(({ vm }) => [vm.id as string, vm]));
    const had = await vmsEverHad(this.db, told.map((status) => status.vmId));
    for (const status of told) {
      const vm = known.get(status.vmId);
      if (!had.has(status.vmId)) continue;
      if (vm !== undefined && (vm.status.hostId === hostId || vm.taskId !== null)) continue;
      const { vmId, state, epoch } = status;
      if (state === 'absent') continue;
      if (state !== 'stopped' && state !== 'defined' && state !== 'failed') {
        this.log.warn({ hostId, vmId, state }, 'the host runs a VM that the pool does not place there');
        continue;
      }
      const done = await this.bus.requestHost(hostId, hostVmDelete, { commandId: `stale/${vmId}/${epoch}`, vmId, epoch }, { as: 'system' });
      if (!done.ok) this.log.warn({ hostId, vmId, fault: done.fault.code }, 'a stale VM directory stays on the host');
    }
  }
}

// Turns what hosts say into rows and events. A report is believed about the host that sent it and its own VMs only; an
// unregistered host is ignored. What is missed while nobody listens is asked for again (host.reconciler).
import type { DataSource, EntityManager } from 'typeorm';
import type { BusClient, BusLog } from '#bus';
import { hostChanged, hostStatus, hostVmDelete, vmChanged, type BodyOf, type HostVmStatus, type ReplyOf, type ReportOrder, type VmId, type hostJoined, type hostVmChanged } from '#contracts';
import { transaction } from '#database';
import { emit } from '#tasks';
import type { UidRange } from '../vm/vm.commands.ts';
import { changeVm, lockVm, observe, vmsById, vmsOnHost } from '../vm/vm.store.ts';
import { holdsHost } from '../vm/vm.ts';
import { findHost, setHostState, setInventory, takeOrder } from './host.store.ts';

type Told = Pick<ReplyOf<typeof hostStatus>, 'inventory' | 'vms' | 'unmanaged'>;

/** A host that says it does not have a VM which should be there. */
const absent = (vmId: VmId, epoch: number): HostVmStatus => ({ vmId, state: 'absent', epoch, pid: null, startedAt: null, exitReason: null, detail: null, guestAgent: false, guestAddresses: [] });

export class HostReports {
  constructor(
    private readonly db: DataSource,
    private readonly bus: BusClient,
    private readonly uids: UidRange,
    private readonly log: BusLog,
  ) {}

  async joined(hostId: string, body: BodyOf<typeof hostJoined>): Promise<void> {
    const stale = await transaction(this.db, async (tx) => {
      if (!(await findHost(tx, hostId))) return this.stranger(hostId);
      if (!(await takeOrder(tx, hostId, body.order))) return [];
      return this.takeOver(tx, hostId, body, body.order);
    });
    await this.cleanUp(hostId, stale);
  }

  async vmChanged(hostId: string, body: BodyOf<typeof hostVmChanged>): Promise<void> {
    await transaction(this.db, async (tx) => {
      if (!(await findHost(tx, hostId))) return void this.stranger(hostId);
      await this.observeOn(tx, hostId, body.vm, body.order);
    });
  }

  /** Asks a host what it sees. False = it does not answer. */
  async look(hostId: string): Promise<boolean> {
    const told = await this.bus.requestHost(hostId, hostStatus, {}, { as: 'system', timeoutMs: 3_000 });
    if (!told.ok) return false;
    const stale = await transaction(this.db, async (tx) => ((await findHost(tx, hostId)) ? this.takeOver(tx, hostId, told.value, null) : []));
    await this.cleanUp(hostId, stale);
    return true;
  }

  lookSoon(hostId: string): void {
    this.look(hostId).catch((error: unknown) => this.log.warn({ err: error, hostId }, 'could not take over what the host says'));
  }

  /** Nobody knows what runs there. Nothing is started elsewhere. */
  async lost(tx: EntityManager, hostId: string): Promise<void> {
    if ((await findHost(tx, hostId))?.state !== 'connected') return;
    await setHostState(tx, hostId, 'not-responding', 'its heartbeat is missing');
    await this.tell(tx, hostId);
    for (const { vm } of await vmsOnHost(tx, hostId)) {
      const record = await lockVm(tx, vm.id);
      if (!record || record.vm.taskId !== null || !holdsHost.includes(record.vm.status.state) || record.vm.status.state === 'unknown') continue;
      const next = await changeVm(tx, vm.id, { state: 'unknown', reason: 'the host does not respond' });
      await emit(tx, vmChanged, { objectId: vm.id, data: { vm: next, from: record.vm.status.state } });
    }
  }

  private stranger(hostId: string): [] {
    this.log.info({ hostId }, 'a host that is not registered reports; ignored');
    return [];
  }

  /** Answers the VMs that the host keeps although they are gone or live elsewhere. */
  private async takeOver(tx: EntityManager, hostId: string, told: Told, order: ReportOrder | null): Promise<HostVmStatus[]> {
    const { from, to } = told.inventory.vmUids;
    const usable = from <= this.uids.first && to >= this.uids.last;
    const turned = await setHostState(tx, hostId, usable ? 'connected' : 'not-responding', usable ? null : `its uid range ${from}-${to} does not cover the site’s ${this.uids.first}-${this.uids.last}`);
    const news = await setInventory(tx, hostId, told.inventory, told.unmanaged);
    if (turned || news) await this.tell(tx, hostId);
    const stale: HostVmStatus[] = [];
    const known = new Map((await vmsById(tx, told.vms.map((vm) => vm.vmId))).map((record) => [record.vm.id as string, record]));
    for (const status of told.vms) {
      const record = known.get(status.vmId);
      if (record?.vm.status.hostId === hostId) await this.observeOn(tx, hostId, status, order);
      else if (record?.vm.taskId == null) stale.push(status);
    }
    const seen = new Set<string>(told.vms.map((vm) => vm.vmId));
    for (const { vm } of await vmsOnHost(tx, hostId)) {
      if (!seen.has(vm.id) && holdsHost.includes(vm.status.state)) await this.observeOn(tx, hostId, absent(vm.id, vm.status.epoch), order);
    }
    return stale;
  }

  private async observeOn(tx: EntityManager, hostId: string, status: HostVmStatus, order: ReportOrder | null): Promise<void> {
    const record = await lockVm(tx, status.vmId);
    if (record?.vm.status.hostId !== hostId) return;
    const next = await observe(tx, record, status, order);
    if (next) await emit(tx, vmChanged, { objectId: next.id, data: { vm: next, from: record.vm.status.state } });
  }

  private async tell(tx: EntityManager, hostId: string): Promise<void> {
    const host = await findHost(tx, hostId);
    if (host) await emit(tx, hostChanged, { objectId: hostId, data: { host } });
  }

  /** Only what does not run is removed: a running QEMU is never ended because a row is missing. */
  private async cleanUp(hostId: string, stale: readonly HostVmStatus[]): Promise<void> {
    for (const status of stale) {
      if (status.state !== 'stopped' && status.state !== 'defined' && status.state !== 'failed') {
        this.log.warn({ hostId, vmId: status.vmId, state: status.state }, 'the host runs a VM that the pool does not place there');
        continue;
      }
      const done = await this.bus.requestHost(hostId, hostVmDelete, { commandId: `stale/${status.vmId}/${status.epoch}`, vmId: status.vmId, epoch: status.epoch }, { as: 'system' });
      if (!done.ok) this.log.warn({ hostId, vmId: status.vmId, fault: done.fault.code }, 'a stale VM directory stays on the host');
    }
  }
}

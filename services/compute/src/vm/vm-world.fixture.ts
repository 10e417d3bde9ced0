// A world for tests of VMs: compute's schema on the real database, one host that runs VMs and reports, and neighbours
// (storage, network, scheduler, templates) that keep what they were asked to make, so that a test can see what is left.
import {
  AddressTaken, DeviceHeld, InUse, NoCapacity, NotFound, NotFoundOnHost, WrongState, attachVolume, checkPortGroups, chooseDatastore, claimPlacement, createVm, discardPorts, discardVolume, getTemplate, getVolume, hostVmAdjust, hostVmDelete, hostVmPause, hostVmPowerOff, hostVmReset, hostVmResume, hostVmSave, hostVmStatus,
  hostVmStart, hostVmStop, keepVolume, movePort, placesOfVolumes, provisionPort, provisionVolume, releaseClaim, releaseVolume, resizeClaim, storageTask, wiringOfVm,
  type ClaimId, type DatastoreId, type HostId, type HostVmChange, type HostVmSpec, type HostVmStatus, type InputOf, type ReplyOf, type SavedMemory, type SwitchId, type Task, type TaskId, type Vm, type VmId, type Volume, type VolumeId,
} from '#contracts';
import { selectRow, selectRows, transaction } from '#database';
import { failed, newUuid, ok, orThrow, type Result } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { childTaskId } from '#testing';
import { SceneBus, contextOf, serviceScene, silentTaskLog, type ServiceScene } from '#testing';
import { computeTables } from '../../compute.definition.ts';
import { clusterFor, ensureSite } from '../cluster/cluster.store.ts';
import { setHostState } from '../host/host-order.store.ts';
import { HostReports } from '../host/host.reports.ts';
import { insertHost, setInventory } from '../host/host.store.ts';
import { inventoryOf } from '../host/inventory.fixture.ts';
import { HardwareCommands } from './hardware.commands.ts';
import { templateOf } from './template.fixture.ts';
import { tpmCases, type TpmCase } from './tpm-cases.fixture.ts';
import { VmCommands } from './vm.commands.ts';
import { observe } from './vm-status.store.ts';
import { changeVm, findVm, insertVm, lockVm, type SavedVm, type VmRecord } from './vm.store.ts';
import { takeUid } from './vm-uid.store.ts';
import { firstSpec } from './vm.ts';

export const savedLike: SavedMemory = { machine: 'pc-q35-7.2', rootPorts: [0, 16] };
export const uids = { first: 200_000, last: 200_999 };
const MiB = 1024 * 1024;
/** Room for a task at each point of a kind. */
const quick = { childLookMs: 30, leaseMs: 500, renewMs: 120, sweepMs: 60, concurrency: 48 };

export class VmWorld {
  readonly bus = new SceneBus();
  readonly volumes = new Map<string, InputOf<typeof provisionVolume>>();
  /** Volumes that were set free, by id, with their names. */
  readonly free = new Map<string, string>();
  readonly discarded = new Set<string>();
  readonly ports = new Map<string, ReplyOf<typeof provisionPort>[]>();
  readonly claims = new Map<string, string>();
  /** MHz and bytes that a VM's claim reserves. */
  readonly reserved = new Map<string, readonly [number, number]>();
  /** What a running QEMU was last limited to. */
  readonly limits = new Map<string, Extract<HostVmChange, { kind: 'limits' }>>();
  /** No VM gets more than this reserved. */
  roomMhz = Infinity;
  readonly onHost = new Map<string, HostVmStatus>();
  /** Ids of the disks and NICs that a running QEMU has, as plugged in since its start. */
  readonly plugged = new Map<string, Set<string>>();
  /** The port group on which a running QEMU's NIC is, where that was changed. */
  readonly wired = new Map<string, string>();
  readonly takenAddresses = new Set<string>();
  /** Disks and NICs that the guest does not let go. */
  readonly holds = new Set<string>();
  /** VMs whose guests end as soon as they are let go on. */
  readonly endsWhenGoingOn = new Set<string>();
  /** What QEMU was last started with. */
  readonly started = new Map<string, HostVmSpec>();
  /** No VM larger than this finds room. */
  roomBytes = Infinity;
  /** Volumes that were there before any VM; the value is the VM that has it. */
  readonly loose = new Map<string, string | null>();
  readonly hostId = newUuid() as HostId;
  readonly datastoreId = newUuid() as DatastoreId;
  readonly switchId = newUuid() as SwitchId;
  readonly template = templateOf();
  readonly tasks = new Map<string, Task>();
  reportsLost = false;
  private seq = 0;
  private readonly heard: Promise<void>[] = [];

  private constructor(readonly scene: ServiceScene, bus: SceneBus, readonly clusterId: string) {
    this.bus = bus;
    this.answerStorage();
    this.answerNetwork();
    this.answerPlacement();
    this.answerHost();
    this.bus.handle(getTemplate, ({ templateId }) =>
      Promise.resolve(templateId === this.template.id ? ok(this.template) : NotFound.fail('There is no template with this id.', { noun: 'template', id: templateId })));
  }

  static async open(): Promise<VmWorld> {
    const bus = new SceneBus();
    const scene = await serviceScene(bus, 'compute', computeTables);
    await ensureSite(scene.db);
    const cluster = orThrow(await clusterFor(scene.db, undefined));
    const world = new VmWorld(scene, bus, cluster.id);
    await transaction(scene.db, async (tx) => {
      await insertHost(tx, { hostId: world.hostId, name: 'host1', clusterId: cluster.id });
      await setHostState(tx, world.hostId, 'connected', null);
    });
    await world.hostHasTpm(true);
    return world;
  }

  engine(kinds: readonly TaskKind[], settings = {}): Promise<TaskEngine> {
    return this.scene.open(kinds, { settings: { ...quick, ...settings } });
  }

  commands(engine: TaskEngine): VmCommands {
    return new VmCommands(this.scene.db, { request: (operation, input, options) => this.bus.of('compute').request(operation, input, options) }, engine, uids);
  }

  hardware(engine: TaskEngine): HardwareCommands {
    return new HardwareCommands(this.scene.db, { request: (operation, input, options) => this.bus.of('compute').request(operation, input, options) }, engine);
  }

  reports(): HostReports {
    return new HostReports(this.scene.db, { requestHost: (hostId, operation, input) => this.bus.host.take(hostId, operation, input) }, uids, silentTaskLog);
  }

  /** All reports that the host has sent have been taken in. */
  async heardAll(): Promise<void> {
    while (this.heard.length > 0) await this.heard.shift();
  }

  record(vmId: string): Promise<VmRecord | undefined> {
    return findVm(this.scene.db, vmId);
  }

  /** A VM with one disk and one NIC, as a creation would have left it. */
  async vm(state: 'stopped' | 'running' | 'paused' | 'hibernated', over: { ownerId?: string | null; name?: string; tpm?: TpmCase } = {}): Promise<VmId> {
    const vmId = newUuid() as VmId;
    const volumeId = newUuid();
    const port = portOf({ vmId, portId: newUuid(), nicId: newUuid(), portGroupId: newUuid() }, this.ports.size);
    this.ports.set(vmId, [port]);
    const input = createVm.input.parse({ name: 'x', disks: [{ sizeBytes: MiB }], ...(over.tpm === undefined ? {} : { firmware: 'uefi', tpm: tpmCases[over.tpm].spec }) });
    this.volumes.set(volumeId, { volumeId, vmId, datastoreId: this.datastoreId } as InputOf<typeof provisionVolume>);
    await transaction(this.scene.db, async (tx) => {
      const uid = await takeUid(tx, vmId, uids);
      await insertVm(tx, {
        id: vmId, name: over.name ?? `vm-${vmId}`, description: '', labels: {}, clusterId: this.clusterId, templateId: null, ownerId: over.ownerId ?? null, folderId: null,
        uid: uid ?? 0, spec: firstSpec(input, null), taskId: newUuid(),
      });
      const made = (await lockVm(tx, vmId))!.vm;
      const disks = [{ diskId: newUuid(), slot: 0, volumeId, datastoreId: this.datastoreId, sizeBytes: MiB, bus: 'virtio', readOnly: false }];
      const nics = [{ nicId: port.nicId, slot: 0, portId: port.id, portGroupId: port.portGroupId, mac: port.mac, ip: port.ip }];
      await changeVm(tx, vmId, { spec: { ...made.spec, disks, nics } as typeof made.spec, state: 'stopped', taskId: null });
      if (over.tpm !== undefined) await changeVm(tx, vmId, { tpm: tpmCases[over.tpm].made ? this.tpmOf(vmId) : null, pending: tpmCases[over.tpm].pending });
      if (state === 'hibernated') await changeVm(tx, vmId, { state, epoch: 1, saved: this.savedMemory(vmId) });
      if (state === 'running' || state === 'paused') {
        await changeVm(tx, vmId, { state, hostId: this.hostId, epoch: 1, claimHeld: true });
        await observe(tx, (await lockVm(tx, vmId))!, statusOf(vmId, state, 1), null);
      }
    });
    if (state === 'running' || state === 'paused') {
      this.claims.set(vmId, this.hostId);
      this.onHost.set(vmId, statusOf(vmId, state, 1));
    }
    return vmId;
  }

  private tpmOf(vmId: VmId): Vm['status']['tpm'] {
    const volumeId = newUuid() as VolumeId;
    this.volumes.set(volumeId, { volumeId, vmId, datastoreId: this.datastoreId } as InputOf<typeof provisionVolume>);
    return { volumeId, datastoreId: this.datastoreId };
  }

  /** Whether swtpm is installed on the host. */
  async hostHasTpm(tpm: boolean): Promise<void> {
    await transaction(this.scene.db, (tx) => setInventory(tx, this.hostId, { ...inventoryOf(uids), tpm }, []));
  }

  private savedMemory(vmId: VmId): SavedVm {
    const volumeId = newUuid() as VolumeId;
    this.volumes.set(volumeId, { volumeId, vmId, datastoreId: this.datastoreId } as InputOf<typeof provisionVolume>);
    return { volumeId, datastoreId: this.datastoreId, sizeBytes: MiB, savedAt: '2026-01-01T00:00:00.000Z', like: savedLike };
  }

  /** What is left of a VM anywhere. */
  async traces(vmId: string): Promise<object> {
    const { db } = this.scene;
    return {
      row: (await findVm(db, vmId)) !== undefined,
      volumes: [...this.volumes.values()].filter((volume) => volume.vmId === vmId).length,
      ports: this.ports.get(vmId)?.length ?? 0,
      claim: this.claims.has(vmId),
      host: this.onHost.has(vmId),
      uids: (await selectRows(db, 'SELECT uid FROM vm_uid WHERE vm_id = ?', [vmId])).length,
      addresses: (await selectRows(db, 'SELECT mac FROM vm_address WHERE vm_id = ?', [vmId])).length,
      locks: (await selectRows(db, 'SELECT * FROM task_lock WHERE object_id = ?', [vmId])).length,
      tombstone: (await selectRow<{ n: number }>(db, 'SELECT 1 AS n FROM vm WHERE id = ? AND deleted_at IS NOT NULL AND live_name IS NULL', [vmId])) !== undefined,
    };
  }

  async close(): Promise<void> {
    await this.heardAll();
    await this.scene.close();
  }

  private answerStorage(): void {
    const { bus } = this;
    bus.handle(chooseDatastore, () => Promise.resolve({ datastoreId: this.datastoreId, hostIds: [this.hostId] }));
    bus.handle(provisionVolume, (input, ctx) => Promise.resolve(this.ended(ctx.idempotencyKey, input.volumeId, () => void this.volumes.set(input.volumeId, input))));
    bus.handle(discardVolume, (input, ctx) => Promise.resolve(this.ended(ctx.idempotencyKey, input.volumeId, () => { this.volumes.delete(input.volumeId); this.discarded.add(input.volumeId); })));
    bus.handle(getVolume, ({ volumeId }) => Promise.resolve(this.loose.has(volumeId) ? ok(volumeOf(volumeId, this.datastoreId, this.loose.get(volumeId) ?? null)) : NotFound.fail('There is no volume with this id.', { noun: 'volume', id: volumeId })));
    bus.handle(attachVolume, ({ volumeId, vmId }, { dryRun }) => {
      const holder = this.loose.get(volumeId);
      if (holder && holder !== vmId) return Promise.resolve(InUse.fail('The volume belongs to another VM.', { by: [{ noun: 'vm', id: holder }] }));
      if (!dryRun) this.loose.set(volumeId, vmId);
      return Promise.resolve(ok(volumeOf(volumeId, this.datastoreId, vmId)));
    });
    bus.handle(releaseVolume, ({ volumeId, vmId }) => {
      const made = this.volumes.get(volumeId);
      if (made?.vmId === vmId) this.volumes.delete(volumeId);
      if (made?.vmId === vmId || this.loose.get(volumeId) === vmId) this.loose.set(volumeId, null);
      return Promise.resolve({});
    });
    bus.handle(keepVolume, (input, { dryRun }) => {
      if (!dryRun && this.volumes.get(input.volumeId)?.vmId === input.vmId) {
        this.volumes.delete(input.volumeId);
        this.free.set(input.volumeId, input.name);
      }
      return Promise.resolve({});
    });
    bus.handle(storageTask.get, ({ taskId }) => {
      const task = this.tasks.get(taskId);
      return Promise.resolve(task ? ok(task) : NotFound.fail('There is no task with this id.', { noun: 'task', id: taskId }));
    });
    bus.handle(placesOfVolumes, ({ volumeIds }) => Promise.resolve(volumeIds.some((id) => this.discarded.has(id)) ? NotFound.fail('There is no volume with this id.', { noun: 'volume', id: volumeIds[0] ?? '' }) : ok({ places: volumeIds.map((volumeId) => ({
      place: { volumeId, datastoreId: this.datastoreId, datastorePath: '/data', relativePath: `volumes/${volumeId}.qcow2`, format: 'qcow2' as const }, hostIds: [this.hostId],
    })) })));
  }

  /** A task of storage that has ended at once; the same key again does nothing again. */
  private ended(key: string | null, objectId: string, effect: () => void) {
    // A dry run has no key, and no effect.
    if (key === null) return { taskId: newUuid() as TaskId, objectId };
    const taskId = childTaskId('storage', key) as TaskId;
    if (!this.tasks.has(taskId)) {
      effect();
      this.tasks.set(taskId, taskOf(taskId, objectId));
    }
    return { taskId, objectId };
  }

  private answerNetwork(): void {
    const { bus } = this;
    bus.handle(checkPortGroups, () => Promise.resolve({ hostIds: [this.hostId] }));
    bus.handle(provisionPort, (input, { dryRun }) => {
      const known = this.ports.get(input.vmId) ?? [];
      const mine = known.find((port) => port.nicId === input.nicId);
      if (mine) return Promise.resolve(mine);
      const port = portOf(input, this.ports.size * 8 + known.length);
      if (!dryRun) this.ports.set(input.vmId, [...known, port]);
      return Promise.resolve(port);
    });
    bus.handle(discardPorts, ({ vmId, nicId }, { dryRun }) => {
      if (dryRun) return Promise.resolve({});
      const left = (this.ports.get(vmId) ?? []).filter((port) => nicId !== undefined && port.nicId !== nicId);
      if (left.length > 0) this.ports.set(vmId, left);
      else this.ports.delete(vmId);
      return Promise.resolve({});
    });
    bus.handle(movePort, ({ portId, portGroupId, ip }, { dryRun }) => {
      const [vmId, mine] = [...this.ports].find(([, ports]) => ports.some((port) => port.id === portId)) ?? [];
      const port = mine?.find(({ id }) => id === portId);
      if (vmId === undefined || !port) return Promise.resolve(NotFound.fail('There is no port with this id.', { noun: 'port', id: portId }));
      if (this.takenAddresses.has(ip ?? '')) return Promise.resolve(AddressTaken.fail('Another NIC has this address.', { address: ip ?? '' }));
      const there = port.portGroupId === portGroupId && (ip === null || ip === port.ip);
      const moved = there ? port : { ...port, portGroupId, ip: ip ?? `10.9.${this.ports.size & 0xff}.9` };
      if (!dryRun) this.ports.set(vmId, (mine ?? []).map((one) => (one.id === portId ? moved : one)));
      return Promise.resolve(ok(moved));
    });
    bus.handle(wiringOfVm, ({ vmId }) => Promise.resolve({
      hostIds: [this.hostId],
      nics: (this.ports.get(vmId) ?? []).map((port) => ({
        nicId: port.nicId, portId: port.id, portGroupId: port.portGroupId, switchId: this.switchId,
        mac: port.mac, vlan: 0, mtu: 1500, ip: port.ip, subnet: null,
      })),
    }));
  }

  private answerPlacement(): void {
    this.bus.handle(claimPlacement, ({ vmId, demand, confinements }, { dryRun }): Promise<Result<ReplyOf<typeof claimPlacement>>> => {
      const refusal = confinements.find(({ hostIds }) => hostIds !== null && !hostIds.includes(this.hostId));
      if (refusal || demand.memoryBytes > this.roomBytes) return Promise.resolve(failed(NoCapacity.fault(refusal?.text ?? 'too little memory', { refusals: [] })));
      dryRun?.decided({ text: 'host1 takes it', details: { hostId: this.hostId } }, { text: 'host2 is full', seenWith: { permission: 'placement.read', id: newUuid(), clusterId: this.clusterId } });
      if (!dryRun) {
        this.claims.set(vmId, this.hostId);
        this.reserved.set(vmId, [demand.cpuReservedMhz, demand.memoryReservedBytes]);
      }
      return Promise.resolve(ok({ claim: { id: newUuid() as ClaimId, vmId, hostId: this.hostId, ...demand, createdAt: new Date().toISOString() }, refusals: [] }));
    });
    this.bus.handle(resizeClaim, ({ vmId, cpuReservedMhz, memoryReservedBytes }): Promise<Result<ReplyOf<typeof resizeClaim>>> => {
      const [had] = this.reserved.get(vmId) ?? [0];
      if (!this.claims.has(vmId)) return Promise.resolve(NotFound.fail('The VM holds no capacity.', { noun: 'claim', id: vmId }));
      if (cpuReservedMhz > Math.max(had, this.roomMhz)) return Promise.resolve(NoCapacity.fail('The host cannot reserve so much.', { refusals: [] }));
      this.reserved.set(vmId, [cpuReservedMhz, memoryReservedBytes]);
      return Promise.resolve(ok({ id: newUuid() as ClaimId, vmId, hostId: this.hostId, vcpus: 1, memoryBytes: MiB, cpuReservedMhz, memoryReservedBytes, createdAt: new Date().toISOString() }));
    });
    this.bus.handle(releaseClaim, ({ vmId }, { dryRun }) => {
      if (!dryRun) this.claims.delete(vmId);
      return Promise.resolve({});
    });
  }

  private answerHost(): void {
    const { host } = this.bus;
    const unknown = (id: string) => NotFoundOnHost.fail('The host does not know the VM.', { noun: 'vm', id });
    const off = (input: Readonly<Record<string, unknown>>) => {
      const vmId = String(input['vmId']);
      return this.onHost.has(vmId) ? ok(this.told(vmId, 'stopped', Number(input['epoch']))) : unknown(vmId);
    };
    host.act(hostVmStart, (input) => {
      this.started.set(String(input['vmId']), input['spec'] as HostVmSpec);
      return ok(this.told(String(input['vmId']), input['memory'] === null ? 'running' : 'paused', Number(input['epoch'])));
    });
    const steer = (state: 'running' | 'paused') => (input: Readonly<Record<string, unknown>>) => {
      const seen = this.onHost.get(String(input['vmId']))?.state;
      if (seen !== 'running' && seen !== 'paused') return WrongState.fail('It does not run.', { state: String(seen), allowed: ['running'] });
      return ok(this.told(String(input['vmId']), state, Number(input['epoch'])));
    };
    host.act(hostVmPause, steer('paused'));
    host.act(hostVmResume, (input) => {
      const vmId = String(input['vmId']);
      return this.endsWhenGoingOn.delete(vmId) ? ok(this.told(vmId, 'failed', Number(input['epoch']))) : steer('running')(input);
    });
    host.act(hostVmReset, steer('running'));
    host.act(hostVmSave, (input) => {
      const saved = steer('running')(input);
      return saved.ok ? ok(this.told(String(input['vmId']), 'stopped', Number(input['epoch']), { exitReason: 'saved', saved: savedLike })) : saved;
    });
    host.act(hostVmStatus, (input) => ok(this.onHost.get(String(input['vmId'])) ?? statusOf(String(input['vmId']), 'absent', 0)));
    host.act(hostVmAdjust, (input) => {
      const vmId = String(input['vmId']);
      const status = this.onHost.get(vmId);
      if (status === undefined) return unknown(vmId);
      if (status.state !== 'running') return WrongState.fail('It does not run.', { state: status.state, allowed: ['running'] });
      const change = input['change'] as HostVmChange;
      const leaving = change.kind === 'detach-disk' ? change.diskId : change.kind === 'detach-nic' ? change.nicId : '';
      if (this.holds.has(leaving)) return DeviceHeld.fail('The guest has the disk mounted at /mnt; unmount it first.', { device: leaving, reason: 'mounted', mountPoints: ['/mnt'] });
      plug(this.plugged, vmId, change);
      if (change.kind === 'limits') this.limits.set(vmId, change);
      if (change.kind === 'change-nic') this.wired.set(change.nic.nicId, change.nic.portGroupId);
      return ok({ ...status, guest: 'confirmed' });
    });
    host.act(hostVmStop, off);
    host.act(hostVmPowerOff, off);
    host.act(hostVmDelete, (input) => {
      const vmId = String(input['vmId']);
      if (this.onHost.get(vmId)?.state === 'running') return WrongState.fail('It runs.', { state: 'running', allowed: ['stopped'] });
      return this.onHost.delete(vmId) ? ok({}) : unknown(vmId);
    });
  }

  /** The host's new view of a VM, reported as a host does. */
  told(vmId: string, state: HostVmStatus['state'], epoch: number, over: Partial<HostVmStatus> = {}): HostVmStatus {
    const vm: HostVmStatus = { ...statusOf(vmId, state, epoch), ...over };
    this.onHost.set(vmId, vm);
    const order = { bootId: 'boot-1', epoch: 1, seq: ++this.seq };
    if (!this.reportsLost) this.heard.push(this.reports().vmChanged(this.hostId, { order, vm }));
    return vm;
  }
}

/** A request of a service, with a key of its own. */
export const asService = () => contextOf({ system: true, caller: 'gateway', idempotencyKey: newUuid() });

export const statusOf = (vmId: string, state: HostVmStatus['state'], epoch: number): HostVmStatus => ({
  vmId: vmId as VmId, state, epoch, pid: state === 'running' || state === 'paused' ? 4711 : null, startedAt: state === 'running' || state === 'paused' ? '2026-01-01T00:00:00.000Z' : null,
  exitReason: state === 'stopped' ? 'requested' : null, detail: null, saved: null, guestAgent: false, guestAddresses: [], memory: null,
});

function portOf(input: { vmId: string; portId: string; nicId: string; portGroupId: string }, index: number): ReplyOf<typeof provisionPort> {
  const now = new Date().toISOString();
  const hex = (value: number): string => (value & 0xff).toString(16).padStart(2, '0');
  return provisionPort.reply.parse({
    id: input.portId, portGroupId: input.portGroupId, vmId: input.vmId, nicId: input.nicId, mac: `02:00:00:00:${hex(index >> 8)}:${hex(index)}`,
    ip: `10.0.${(index >> 8) & 0xff}.${index & 0xff}`, subnetId: null, number: index, version: 1, createdAt: now, updatedAt: now, ownerId: null, folderId: null,
  });
}

/** Each kind of change as what it adds or takes away. */
function plug(all: Map<string, Set<string>>, vmId: string, change: HostVmChange): void {
  const mine = all.get(vmId) ?? new Set();
  all.set(vmId, mine);
  if (change.kind === 'attach-disk') mine.add(change.disk.diskId);
  if (change.kind === 'attach-nic') mine.add(change.nic.nicId);
  if (change.kind === 'detach-disk') mine.delete(change.diskId);
  if (change.kind === 'detach-nic') mine.delete(change.nicId);
}

function volumeOf(volumeId: string, datastoreId: string, attachedTo: string | null): Volume {
  const now = new Date().toISOString();
  return getVolume.reply.parse({
    id: volumeId, name: 'loose', description: '', labels: {}, datastoreId, state: 'ready', use: 'disk', format: 'qcow2', sizeBytes: 8 * MiB, allocatedBytes: 0, readOnly: false, parentId: null, attachedTo,
    number: 1, version: 1, createdAt: now, updatedAt: now, ownerId: null, folderId: null,
  });
}

function taskOf(taskId: TaskId, objectId: string): Task {
  const now = new Date().toISOString();
  return {
    id: taskId, service: 'storage', kind: 'storage.volume.make', object: { noun: 'volume', id: objectId, name: null }, state: 'succeeded', progress: null, waitsFor: null,
    error: null, output: null, actor: null, parentTaskId: null, traceId: null, steps: [], version: 3, createdAt: now, startedAt: now, endedAt: now,
  };
}

// Plugs disks and NICs into a QEMU that runs, takes them out when the guest has let them go, and sets its limits. The VM's document always
// holds at least what QEMU has: a device enters it before QEMU, and leaves it after QEMU, so that after a crash at any
// point the same change can be made again, or taken back, by the document alone.
import type { GuestWord, HostDisk, HostNic, HostVmChange, HostVmSpec } from '#contracts';
import { DeviceHeld, DeviceRefused, HostCommandFailed, NoFreeSlot } from '#contracts';
import type { Result } from '#kernel';
import { failed, ok, sleep } from '#kernel';
import type { AgentEnvironment } from '../environment.ts';
import { faultPoint } from '../fault-point.ts';
import { isAlreadySo, isStillInUse, MonitorError } from '../qmp/errors.ts';
import type { Monitor } from '../qmp/monitor.socket.ts';
import type { QmpEvent } from '../qmp/wire.ts';
import type { ChangeOf } from './adjust.ts';
import { applied, diskOf, nicOf, refusal } from './adjust.ts';
import { commandLine, diskDeviceId, diskParts, netdevId, nicDeviceId, nicParts, nicPort, plugOf } from './command-line.ts';
import { GuestVoice } from './guest-word.socket.ts';
import { takingDirectIo } from './start-vm.process.ts';
import { flashOf } from './uefi-vars.store.ts';
import type { VmDirectory, VmDocument } from './vm-directory.store.ts';

export interface HotPlugScene {
  monitor(): Monitor | undefined;
  /** Whether the guest's agent answers. */
  asksGuest(): boolean;
}
type Keep = (document: VmDocument) => Promise<void>;
interface Work { readonly document: VmDocument; readonly monitor: Monitor; readonly keep: Keep }
/** What the guest did about a device that it was asked to let go. */
type Answer = 'gone' | 'refused' | 'no-answer' | 'lost';

/** How long a block node may stay in use after its device is gone, ms. */
const nodeFreeWithinMs = 5_000;
const nodePauseMs = 20;

export class HotPlug {
  private waiting: { readonly deviceId: string; readonly tell: (answer: Answer) => void } | null = null;
  /** Devices that were asked to leave and kept: a guest may let one go when nobody waits any more. */
  private readonly kept = new Map<string, () => Promise<void>>();

  private readonly guest: GuestVoice;

  constructor(private readonly environment: AgentEnvironment, private readonly directory: VmDirectory, private readonly scene: HotPlugScene) {
    this.guest = new GuestVoice({ vmId: directory.vmId, socket: directory.paths.guestAgent, log: environment.log, answers: () => scene.asksGuest() });
  }

  /** Makes the change, or answers why not with everything as before; and what the guest says of it. */
  carryOut(change: HostVmChange, document: VmDocument | null, keep: Keep): Promise<Result<GuestWord>> {
    const monitor = this.scene.monitor();
    if (document === null || monitor === undefined) return Promise.resolve(HostCommandFailed.fail('The host cannot work on this VM now.', { reason: document === null ? 'its document cannot be read' : 'its QEMU does not answer' }));
    const refused = refusal(document.spec, change);
    if (refused) return Promise.resolve(failed(refused));
    return this.byKind[change.kind](change as never, { document, monitor, keep });
  }

  private readonly byKind: { readonly [K in HostVmChange['kind']]: (change: ChangeOf<K>, work: Work) => Promise<Result<GuestWord>> } = {
    'attach-disk': (change, work) => this.attach(change, work, plugOf(change.disk), async () => {
      const given = await this.environment.drivers.volumes.prepareForVm({ ...work.document.spec, disks: [change.disk] });
      return given.ok ? this.plugDisk(work.monitor, change.disk) : given;
    }, () => this.removeNode(work.monitor, change.disk), () => this.guest.showsDisk(work.monitor, change.disk)),
    'attach-nic': (change, work) => this.attach(change, work, nicPort(change.nic.slot), async () => {
      const port = await this.environment.drivers.switches.attach(this.directory.vmId, change.nic, work.document.spec.uid);
      return port.ok ? this.plugNic(work.monitor, change.nic, port.value.ifname) : port;
    }, () => this.removeNetdev(work.monitor, change.nic), () => this.guest.showsNic(change.nic)),
    'detach-disk': async (change, work) => {
      const disk = diskOf(work.document.spec, change.diskId);
      if (!disk) return ok('not-asked');
      const mounted = await this.guest.mountPoints(work.monitor, disk);
      if (mounted.length > 0) return DeviceHeld.fail(`The guest has the disk mounted at ${mounted.join(', ')}; unmount it first.`, { device: diskDeviceId(disk), reason: 'mounted', mountPoints: mounted });
      return this.detach(change, work, diskDeviceId(disk), () => this.removeNode(work.monitor, disk), () => this.plugDisk(work.monitor, disk));
    },
    'change-nic': ({ nic }, work) => this.rewire(nic, work),
    limits: (change, work) => this.limit(change, work),
    'detach-nic': async (change, work) => {
      const nic = nicOf(work.document.spec, change.nicId);
      if (!nic) return this.removePort(change.nicId, 'not-asked');
      const back = async (): Promise<Result<void>> => {
        const port = await this.environment.drivers.switches.attach(this.directory.vmId, nic, work.document.spec.uid);
        return port.ok ? this.plugNic(work.monitor, nic, port.value.ifname) : port;
      };
      const gone = await this.detach(change, work, nicDeviceId(nic), () => this.removeNetdev(work.monitor, nic), back);
      return gone.ok ? this.removePort(nic.nicId, gone.value) : gone;
    },
  };

  /** The document first, then QEMU; whatever fails, both are as before. */
  private async attach(change: ChangeOf<'attach-disk' | 'attach-nic'>, { document, monitor, keep }: Work, plug: string, put: () => Promise<Result<void>>, takeBack: () => Promise<void>, shown: () => Promise<GuestWord>): Promise<Result<GuestWord>> {
    if (!(await monitor.deviceIds()).includes(plug)) return NoFreeSlot.fail('The running VM has no free slot for another device of this kind; it gets one at its next start.', { slot: plug });
    const next = applied(document.spec, change);
    await keep({ ...document, spec: next });
    await faultPoint('vm.adjust:kept', this.directory.vmId);
    const done = await put().catch((error: unknown) => refusedBy(error));
    await faultPoint('vm.adjust:plugged', this.directory.vmId);
    if (done.ok) {
      await keep({ ...document, spec: next, argv: await this.argvOf(next, document) });
      return ok(await shown());
    }
    await takeBack();
    if (change.kind === 'attach-nic') await this.environment.drivers.switches.detach(this.directory.vmId, [change.nic.nicId]);
    await keep(document);
    return done;
  }

  /** The port is made anew under the running NIC, whose guest sees the link go down and up and asks for an address again. */
  private async rewire(nic: HostNic, { document, monitor, keep }: Work): Promise<Result<GuestWord>> {
    const { switches } = this.environment.drivers;
    const before = nicOf(document.spec, nic.nicId);
    const next = applied(document.spec, { kind: 'change-nic', nic });
    await keep({ ...document, spec: next });
    await faultPoint('vm.adjust:kept', this.directory.vmId);
    const link = (up: boolean): Promise<unknown> => monitor.execute('set_link', { name: nicDeviceId(nic), up });
    await link(false);
    const made = await switches.attach(this.directory.vmId, nic, document.spec.uid);
    if (!made.ok && before) await switches.attach(this.directory.vmId, before, document.spec.uid);
    await faultPoint('vm.adjust:rewired', this.directory.vmId);
    await link(true);
    await keep(made.ok ? { ...document, spec: next, argv: await this.argvOf(next, document) } : document);
    return made.ok ? ok('not-asked') : made;
  }

  /** The kernel weighs and limits from now on as the document says; the balloon follows. */
  private async limit(change: ChangeOf<'limits'>, { document, keep }: Work): Promise<Result<GuestWord>> {
    const next = applied(document.spec, change);
    await keep({ ...document, spec: next });
    await faultPoint('vm.adjust:kept', this.directory.vmId);
    const set = await this.environment.drivers.cgroups.adjust(this.directory.vmId, next);
    await faultPoint('vm.adjust:limited', this.directory.vmId);
    if (!set.ok) await keep(document);
    return set.ok ? ok('not-asked') : set;
  }

  private async detach(change: ChangeOf<'detach-disk' | 'detach-nic'>, { document, monitor, keep }: Work, deviceId: string, clean: () => Promise<void>, back: () => Promise<Result<void>>): Promise<Result<GuestWord>> {
    const isThere = (await monitor.deviceIds()).includes(deviceId);
    const answer = isThere ? await this.askToLetGo(monitor, deviceId, change.waitMs) : 'gone';
    if (answer === 'lost') return HostCommandFailed.fail('QEMU ended or fell silent before the guest had answered.', { reason: 'QEMU does not answer' });
    if (answer !== 'gone') {
      this.kept.set(deviceId, async () => { await back(); });
      return heldBy(answer, deviceId, change.waitMs);
    }
    this.kept.delete(deviceId);
    await faultPoint('vm.adjust:unplugged', this.directory.vmId);
    await clean();
    const next = applied(document.spec, change);
    await keep({ ...document, spec: next, argv: await this.argvOf(next, document) });
    await faultPoint('vm.adjust:kept', this.directory.vmId);
    return ok(isThere ? 'confirmed' : 'not-asked');
  }

  private async removePort(nicId: string, guest: GuestWord): Promise<Result<GuestWord>> {
    const gone = await this.environment.drivers.switches.detach(this.directory.vmId, [nicId]);
    return gone.ok ? ok(guest) : gone;
  }

  private async askToLetGo(monitor: Monitor, deviceId: string, waitMs: number): Promise<Answer> {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    this.waiting = { deviceId, tell: resolve };
    const enough = new AbortController();
    try {
      await monitor.execute('device_del', { id: deviceId }).catch((error: unknown) => { if (!isAlreadySo(error)) throw error; });
      void sleep(waitMs, enough.signal).then(() => resolve('no-answer'));
      const answer = await promise;
      // The event may have come while nobody was connected.
      return answer === 'no-answer' && !(await monitor.deviceIds()).includes(deviceId) ? 'gone' : answer;
    } finally {
      enough.abort();
      this.waiting = null;
    }
  }

  onEvent({ name, data }: QmpEvent): void {
    const { device } = data;
    if (typeof device !== 'string') return;
    const mine = this.waiting?.deviceId === device;
    if (name === 'DEVICE_UNPLUG_GUEST_ERROR' && mine) this.waiting?.tell('refused');
    if (name !== 'DEVICE_DELETED') return;
    if (mine) this.waiting?.tell('gone');
    else this.putBack(device);
  }

  /** The refusal was told, and the device is still the VM's: a guest that lets it go later gets it again. */
  private putBack(deviceId: string): void {
    const back = this.kept.get(deviceId);
    if (!back) return;
    this.kept.delete(deviceId);
    this.environment.log.warn({ vmId: this.directory.vmId, deviceId }, 'the guest has let go of a device too late; it is plugged in again');
    back().catch((error: unknown) => this.environment.log.error({ vmId: this.directory.vmId, deviceId, err: error }, 'the device could not be plugged in again'));
  }

  /** The process is gone or is let go of: nobody will answer. */
  let(): void {
    this.waiting?.tell('lost');
    this.kept.clear();
  }

  private async plugDisk(monitor: Monitor, disk: HostDisk): Promise<Result<void>> {
    const direct = (await takingDirectIo({ disks: [disk] })).has(disk.diskId);
    const { node, device } = diskParts(disk, direct);
    if (!(await monitor.blockNodes()).includes(diskDeviceId(disk))) await monitor.execute('blockdev-add', node);
    if (!(await monitor.deviceIds()).includes(diskDeviceId(disk))) await monitor.execute('device_add', device);
    return ok(undefined);
  }

  private async plugNic(monitor: Monitor, nic: HostNic, ifname: string): Promise<Result<void>> {
    if ((await monitor.deviceIds()).includes(nicDeviceId(nic))) return ok(undefined);
    const { netdev, device } = nicParts(nic, ifname, this.environment.drivers.switches.datapath());
    // One that an earlier attempt has left belongs to a tap that may have been made anew since.
    await this.removeNetdev(monitor, nic);
    await monitor.execute('netdev_add', netdev);
    await monitor.execute('device_add', device);
    return ok(undefined);
  }

  private async removeNetdev(monitor: Monitor, nic: HostNic): Promise<void> {
    await monitor.execute('netdev_del', { id: netdevId(nic) }).catch((error: unknown) => { if (!isAlreadySo(error)) throw error; });
  }

  private async removeNode(monitor: Monitor, disk: HostDisk): Promise<void> {
    for (const end = performance.now() + nodeFreeWithinMs; ;) {
      try {
        await monitor.execute('blockdev-del', { 'node-name': diskDeviceId(disk) });
        return;
      } catch (error) {
        if (isAlreadySo(error)) return;
        if (!isStillInUse(error) || performance.now() > end) throw error;
      }
      await sleep(nodePauseMs);
    }
  }

  /** What an operator would start the VM with by hand; null where a port is not known. */
  private async argvOf(spec: HostVmSpec, { argv, saved }: VmDocument): Promise<string[] | null> {
    const { qemu, drivers } = this.environment;
    const all = await drivers.switches.listPorts().catch(() => []); // only a convenience: the document is good without
    const ports = new Map(all.filter(({ vmId }) => vmId === spec.vmId).map(({ nicId, ifname }) => [nicId, ifname]));
    // As little is this: a firmware that is gone meanwhile is told by the next start.
    const uefiVars = await flashOf(spec, qemu).catch(() => null);
    const made = commandLine({
      spec, accelerator: qemu.accelerator, datapath: drivers.switches.datapath(), ports, paused: argv?.includes('-S') ?? false, saved,
      directDisks: await takingDirectIo(spec), paths: this.directory.paths, uefiCode: qemu.uefiCode, secureCode: qemu.secureBoot?.code ?? null,
      uefiVars, hasTpm: qemu.swtpm !== null, nowMs: Date.now(),
    });
    return made.ok ? [qemu.program, ...made.value] : null;
  }
}

function heldBy(answer: 'refused' | 'no-answer', device: string, waitMs: number): Result<never> {
  const text = answer === 'refused' ? 'The guest refused to let the device go.' : `The guest did not let the device go within ${waitMs / 1000} s; it is still attached.`;
  return DeviceHeld.fail(text, { device, reason: answer, mountPoints: [] });
}

function refusedBy(error: unknown): Result<never> {
  if (error instanceof MonitorError && error.failure === 'refused') return DeviceRefused.fail(`QEMU did not take the device: ${error.message}`, { reason: error.message }, error);
  throw error;
}

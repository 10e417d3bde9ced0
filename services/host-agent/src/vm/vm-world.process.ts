// Carries out what a VM's decisions ask for, on the real process, ports and files. Every effect ends in an input for the
// actor; an effect that throws becomes one too, so that no VM waits for an outcome that never comes.
import { HostCommandFailed, JournalFailed, QemuFailed } from '#contracts';
import type { HostVmSpec, VolumePlace } from '#contracts';
import type { Fault, Result } from '#kernel';
import { ok, sleep } from '#kernel';
import type { AgentEnvironment } from '../environment.ts';
import { faultPoint } from '../fault-point.ts';
import { optionOf } from '../host/adoption.ts';
import { isRefusal } from '../qmp/errors.ts';
import { withGuestAgent } from '../qmp/guest-agent.socket.ts';
import type { QmpEvent } from '../qmp/wire.ts';
import { guestAgentChardev, isNicDevice } from './command-line.ts';
import { BalloonWatch } from '../balloon/balloon.socket.ts';
import type { Guest } from '../balloon/targets.ts';
import { GuestWatch } from './guest-watch.socket.ts';
import { HotPlug } from './hot-plug.process.ts';
import { letGoOfMemory, saveMemory } from './memory.process.ts';
import { endOfStatus, inputOfEvent, isRunningStatus, portChange } from './monitor-events.ts';
import type { Monitor } from '../qmp/monitor.socket.ts';
import { isQemuItself, qemuProcesses, startedAt } from './process-table.proc.ts';
import type { ProcessSeen } from './process-table.proc.ts';
import { QemuProcess } from './qemu.process.ts';
import type { QemuEvents } from './qemu.process.ts';
import { asDisk, startVm } from './start-vm.process.ts';
import { endTpm, findTpm } from './tpm.process.ts';
import type { VmDirectory, VmDocument } from './vm-directory.store.ts';
import type { Finding, Steering, VmEffect, VmInput, VmProcess } from './vm.ts';

type Outcome = Exclude<VmInput, { type: 'looked' }>;
type EffectOf<K extends VmEffect['do']> = Extract<VmEffect, { do: K }>;

export interface WorldEvents {
  readonly post: (input: Outcome) => void;
  /** What the guest says, by its agent or its balloon, has changed. */
  readonly onGuest: () => void;
  /** The process must be looked at again. */
  readonly onSilent: (detail: string) => void;
}

/** What a look has found, what follows from it, and the devices that QEMU has. */
interface Looked { readonly finding: Finding; readonly also: VmInput | null; readonly devices: readonly string[] }

const lookLimitMs = 4_000;
/** What QEMU calls a guest that was held still, or that was to be from the start. */
const heldStill: ReadonlySet<string> = new Set(['paused', 'prelaunch']);
const qmpOf: Readonly<Record<Steering, string>> = { 'vm.pause': 'stop', 'vm.resume': 'cont', 'vm.reset': 'system_reset' };
const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

export class VmWorld {
  readonly guest: GuestWatch;
  readonly balloon: BalloonWatch;
  private qemu: QemuProcess | undefined;
  private starting: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;
  private grace: AbortController | undefined;
  private readonly plug: HotPlug;
  private adjusting: Promise<void> = Promise.resolve();
  private releasing: Promise<unknown> = Promise.resolve();

  constructor(private readonly environment: AgentEnvironment, private readonly directory: VmDirectory, private readonly events: WorldEvents) {
    this.guest = new GuestWatch(directory.paths.guestAgent, events.onGuest);
    this.balloon = new BalloonWatch(events.onGuest);
    this.plug = new HotPlug(environment, directory, { monitor: () => this.qemu?.current, asksGuest: () => this.guest.info.guestAgent });
  }

  async write({ spec, epoch, attempt }: EffectOf<'write'>): Promise<void> {
    const fault = await this.directory.writeDocument({ spec, epoch, argv: null, saved: null }).then(() => null, journalFault);
    await faultPoint('vm.define:written', spec.vmId);
    this.events.post({ type: 'written', attempt, fault });
  }

  launch(effect: EffectOf<'launch'>): Promise<void> {
    const abort = new AbortController();
    const done = this.start(effect, abort.signal);
    this.starting = { abort, done };
    return done;
  }

  private async start({ spec, epoch, paused, memory, attempt }: EffectOf<'launch'>, signal: AbortSignal): Promise<void> {
    const { environment, directory } = this;
    await this.releasing; // what is still being taken away must not be what this start has made
    const started = await startVm({ environment, directory, spec, epoch, paused, memory, events: this.qemuEvents(), signal }).catch((error: unknown) =>
      QemuFailed.fail(`The host could not start QEMU: ${textOf(error)}`, { reason: textOf(error) }, error));
    this.starting = undefined;
    if (!started.ok) {
      this.events.post({ type: 'launch-failed', attempt, fault: started.fault });
      return;
    }
    this.qemu = started.value;
    this.events.post({ type: 'launched', attempt, process: started.value.process, paused: paused || memory !== null });
  }

  /** Whoever is to be asked is, and the grace runs out; a guest agent that does not answer is not waited for. */
  async askShutdown({ graceMs, by, attempt }: EffectOf<'ask-shutdown'>): Promise<void> {
    const grace = new AbortController();
    this.grace = grace;
    const asked = by !== 'acpi' && this.guest.info.guestAgent && (await this.askGuestAgent());
    if (asked) await sleep(by === 'both' ? graceMs / 2 : graceMs, grace.signal);
    if (by !== 'agent' && !grace.signal.aborted) {
      await this.qemu?.current?.execute('system_powerdown').catch((error: unknown) => this.note(error, 'the power button could not be pressed'));
      await sleep(asked ? graceMs / 2 : graceMs, grace.signal);
    }
    if (!grace.signal.aborted) this.events.post({ type: 'grace-over', attempt });
  }

  async steer({ commandId, how }: EffectOf<'steer'>): Promise<void> {
    const error = await this.tell(how).then(() => null, (thrown: unknown) => thrown);
    await faultPoint(`${how}:steered`, this.directory.vmId);
    if (error !== null && !isRefusal(error)) {
      // QEMU may have done it and could not say so: what a look finds answers the command.
      this.environment.log.warn({ vmId: this.directory.vmId, how, err: error }, 'QEMU was told something and did not answer');
      this.qemu?.lookAgain();
      return;
    }
    this.events.post({ type: 'steered', of: commandId, fault: error === null ? null : HostCommandFailed.fault(`QEMU did not take ${qmpOf[how]}: ${error.message}`, { reason: error.message }, error) });
  }

  async save({ commandId, place }: EffectOf<'save'>, document: VmDocument | null, keep: (document: VmDocument) => Promise<void>): Promise<void> {
    const saved = await this.saveTo(place, document, keep).catch((error: unknown) =>
      HostCommandFailed.fail(`The memory could not be saved: ${textOf(error)}`, { reason: textOf(error) }, error));
    await faultPoint('vm.save:saved', this.directory.vmId);
    this.events.post({ type: 'saved', of: commandId, fault: saved.ok ? null : saved.fault });
  }

  /** What the memory was saved from is on disk before QEMU ends: nobody could ask it any more. */
  private async saveTo(place: VolumePlace, document: VmDocument | null, keep: (document: VmDocument) => Promise<void>): Promise<Result<void>> {
    if (document === null) return HostCommandFailed.fail('The host cannot work on this VM now.', { reason: 'its document cannot be read' });
    const given = await this.environment.drivers.volumes.prepareForVm({ ...document.spec, disks: [asDisk(place)] });
    if (!given.ok) return given;
    const saved = await saveMemory(this.monitor, place, () => faultPoint('vm.save:begun', this.directory.vmId));
    if (saved.ok) await keep({ ...document, saved: saved.value });
    return saved.ok ? ok(undefined) : saved;
  }

  /** Also a monitor that is gone, because its QEMU has just died, is an answer and not the agent's end. */
  private async tell(how: Steering): Promise<void> {
    // A hibernation that is taken back: its volume will be deleted.
    if (how === 'vm.resume') await letGoOfMemory(this.monitor);
    await this.monitor.execute(qmpOf[how]);
  }

  private get monitor(): Monitor {
    const monitor = this.qemu?.current;
    if (monitor === undefined) throw new Error('QEMU does not answer');
    return monitor;
  }

  private async askGuestAgent(): Promise<boolean> {
    try {
      await withGuestAgent(this.directory.paths.guestAgent, (agent) => agent.shutdown());
      return true;
    } catch (error) {
      this.note(error, 'the guest agent did not take the shutdown');
      return false;
    }
  }

  /** One after the other, also when an earlier one was given up because its QEMU had fallen silent. */
  adjust({ commandId, change }: EffectOf<'adjust'>, document: VmDocument | null, keep: (document: VmDocument) => Promise<void>): Promise<void> {
    this.adjusting = this.adjusting.then(async () => {
      const done = await this.plug.carryOut(change, document, keep).catch((error: unknown) =>
        HostCommandFailed.fail(`The VM could not be changed: ${textOf(error)}`, { reason: textOf(error) }, error));
      this.events.post({ type: 'adjusted', of: commandId, fault: done.ok ? null : done.fault, guest: done.ok ? done.value : 'not-asked' });
    });
    return this.adjusting;
  }

  /** null = there is no balloon to look at, or its QEMU does not answer now. */
  async lookAtMemory(spec: HostVmSpec): Promise<Guest | null> {
    const monitor = this.qemu?.current;
    return monitor === undefined ? null : this.balloon.look(monitor, spec).catch((error: unknown) => {
      this.note(error, 'the balloon could not be looked at');
      return null;
    });
  }

  async aimMemory(targetBytes: number, memoryBytes: number): Promise<void> {
    const monitor = this.qemu?.current;
    if (monitor) await this.balloon.aim(monitor, targetBytes, memoryBytes).catch((error: unknown) => this.note(error, 'the balloon could not be told its target'));
  }

  async end({ gently }: EffectOf<'end'>, process: VmProcess | null): Promise<void> {
    this.grace?.abort();
    if (this.starting) {
      this.starting.abort.abort();
      await this.starting.done;
    }
    const target = this.qemu ?? (process === null ? undefined : this.holdOn(process));
    await target?.end(gently);
    await faultPoint('vm.end:gone', this.directory.vmId);
    this.let();
    this.events.post({ type: 'gone', reason: 'requested', detail: null });
  }

  async release(vmId: string): Promise<void> {
    this.let();
    const released = this.releaseAll(vmId).catch(textOf);
    this.releasing = released;
    const problem = await released;
    await faultPoint('vm.release:done', vmId);
    this.events.post({ type: 'released', problem });
  }

  private async releaseAll(vmId: string): Promise<string | null> {
    const { switches, cgroups } = this.environment.drivers;
    await endTpm(this.directory); // before its group, which must be empty
    const detached = await switches.detach(vmId, 'all');
    await cgroups.release(vmId);
    return detached.ok ? null : detached.fault.detail;
  }

  /**
   * Looks whether a process of this VM is there, and takes its monitor. `also` follows the look. One that was `unfinished`,
   * started for a memory that it may not have got, must not begin without it: it is ended.
   */
  async look(seen?: readonly ProcessSeen[], unfinished = false): Promise<Looked> {
    const mine = (seen ?? (await qemuProcesses())).filter(({ argv }) => optionOf(argv, '-uuid') === this.directory.vmId);
    const pid = await this.directory.readPid();
    const found = mine.find((one) => one.pid === pid) ?? mine.find(isQemuItself) ?? mine[0];
    if (!found) return { finding: { kind: 'none' }, also: null, devices: [] };
    const process = { pid: found.pid, startTicks: found.startTicks, startedAt: await startedAt(found.startTicks) };
    if (unfinished) await this.holdOn(process).end(false);
    if (unfinished) return { finding: { kind: 'none' }, also: null, devices: [] };
    try {
      return await this.adopt(process);
    } catch (error) {
      this.let();
      return { finding: { kind: 'silent', process, detail: `QEMU runs and does not answer: ${textOf(error)}` }, also: null, devices: [] };
    }
  }

  private async adopt(process: VmProcess): Promise<Looked> {
    const qemu = this.holdOn(process);
    const monitor = await qemu.connect(lookLimitMs);
    const status = await monitor.status();
    await this.directory.lockRun();
    this.qemu = qemu;
    this.guest.portOpen(await monitor.isOpenInGuest(guestAgentChardev));
    const devices = await monitor.deviceIds();
    // An agent that died while it made a port anew has left the NIC without its link.
    for (const name of devices.filter(isNicDevice)) await monitor.execute('set_link', { name, up: true });
    const reason = endOfStatus(status);
    if (reason !== null) return { finding: { kind: 'running', process, detail: null }, also: { type: 'guest-ended', reason }, devices };
    if (isRunningStatus(status)) return { finding: { kind: 'running', process, detail: await this.lacking() }, also: null, devices };
    return { finding: { kind: 'paused', process, detail: heldStill.has(status) ? null : `QEMU says ${status}` }, also: null, devices };
  }

  /** A TPM that was killed is back with the VM's next start; its guest's commands to it fail until then. */
  private async lacking(): Promise<string | null> {
    const read = await this.directory.readDocument();
    const hasTpm = read.kind === 'document' && read.document.spec.tpm !== null;
    return hasTpm && (await findTpm(this.directory)) === undefined ? 'The VM’s TPM has ended; it is back after the next start.' : null;
  }

  /** Lets go of the process, which goes on. */
  let(): void {
    this.grace?.abort();
    this.plug.let();
    this.guest.stop();
    this.balloon.forget();
    this.qemu?.release();
    this.qemu = undefined;
  }

  private holdOn(process: VmProcess): QemuProcess {
    return new QemuProcess(this.directory.vmId, process, this.directory.paths.qmp, null, this.qemuEvents(), () => this.directory.readQemuLog());
  }

  private qemuEvents(): QemuEvents {
    return {
      onEvent: (event) => this.onEvent(event),
      onGone: (reason, detail) => {
        this.let();
        this.events.post({ type: 'gone', reason, detail });
      },
      onSilent: (detail) => {
        this.let();
        this.events.onSilent(detail);
      },
    };
  }

  private onEvent(event: QmpEvent): void {
    const open = portChange(event);
    if (open !== null) this.guest.portOpen(open);
    this.plug.onEvent(event);
    const input = inputOfEvent(event);
    if (input) this.events.post(input as Outcome);
  }

  private note(error: unknown, text: string): void {
    this.environment.log.warn({ vmId: this.directory.vmId, err: error }, text);
  }
}

const journalFault = (error: unknown): Fault => JournalFailed.fault(`The VM’s document cannot be written: ${textOf(error)}`, { reason: textOf(error) }, error);

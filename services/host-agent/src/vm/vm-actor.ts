// One VM's actor. It takes one thing at a time from its mailbox, lets `step` decide, journals the decision, and only then
// carries it out. What has an intent in the journal is answered with a result that is in the journal too.
import type { HostVmStatus, ReplyOf, hostVmAdjust } from '#contracts';
import { CommandRunning, IdempotencyKeyReused, ShuttingDown, VmBusy } from '#contracts';
import type { Fault, Result } from '#kernel';
import { failed, ok, sleep } from '#kernel';
import type { AgentEnvironment } from '../environment.ts';
import { isKept, outcomeOf, resultOf } from '../journal/outcome.ts';
import type { Guest } from '../balloon/targets.ts';
import { faultPoint } from '../fault-point.ts';
import type { VmPaths } from './command-line.ts';
import { Mailbox } from './mailbox.ts';
import type { ProcessSeen } from './process-table.proc.ts';
import { settle } from './recovery.ts';
import { VmDirectory } from './vm-directory.store.ts';
import { VmMemory } from './vm-memory.store.ts';
import { VmWorld } from './vm-world.process.ts';
import { statusOf, step } from './vm.ts';
import type { Vm, VmCommand, VmEffect, VmInput } from './vm.ts';

export type VmReply = HostVmStatus | ReplyOf<typeof hostVmAdjust> | Record<string, never>;

export interface VmActorHooks {
  onChange(status: HostVmStatus): void;
  /** Before a directory is made for a VM that had been deleted here. */
  revive(vmId: string): Promise<Result<void>>;
  /** Keeps the tombstone and every result, before the directory goes. */
  bury(vmId: string, epoch: number, commandId: string, results: VmMemory['book']): Promise<Result<void>>;
}

interface Waiter { readonly promise: Promise<Result<VmReply>>; settle(result: Result<VmReply>): void }
const normalLane = 16;
const silentPauseMs = 1_000;
const consoleLimitBytes = 8 * 1024 * 1024;

export class VmActor {
  private readonly mailbox = new Mailbox<VmInput>(normalLane);
  private readonly waiters = new Map<string, Waiter>();
  private readonly world: VmWorld;
  private working: Promise<void> = Promise.resolve();
  private busy = false;
  private stopped = new AbortController();

  private constructor(private readonly environment: AgentEnvironment, private readonly directory: VmDirectory, private readonly memory: VmMemory, private readonly hooks: VmActorHooks) {
    this.world = new VmWorld(environment, directory, {
      post: (input) => this.post(input),
      onGuest: () => this.changed(),
      onSilent: (detail) => void this.lookUntilClear(detail),
    });
  }

  static async open(environment: AgentEnvironment, vmId: string, seenEpoch: number, hooks: VmActorHooks): Promise<VmActor> {
    const directory = new VmDirectory(environment.identity.hostDir, vmId);
    return new VmActor(environment, directory, await VmMemory.open(directory, seenEpoch, environment.log), hooks);
  }

  private get vm(): Vm {
    return this.memory.vm;
  }

  status(): HostVmStatus {
    return this.told(this.vm);
  }

  get paths(): VmPaths {
    return this.directory.paths;
  }

  private told(vm: Vm): HostVmStatus {
    const status = statusOf(vm, { ...this.world.guest.info, memory: this.world.balloon.info }, this.memory.document?.saved ?? null);
    return { ...status, detail: status.detail ?? this.memory.problem };
  }

  /** Keeps the console's text bounded. */
  async tidy(): Promise<void> {
    if (this.vm.process !== null) await this.directory.rotateConsole(consoleLimitBytes);
  }

  /** A guest that is held still, or is being worked on, is left alone. */
  async lookAtMemory(): Promise<Guest | null> {
    const spec = this.memory.document?.spec;
    return spec === undefined || this.vm.state !== 'running' || this.vm.open.length > 0 ? null : this.world.lookAtMemory(spec);
  }

  async aimMemory(targetBytes: number): Promise<void> {
    const spec = this.memory.document?.spec;
    if (spec !== undefined && this.vm.state === 'running' && this.vm.open.length === 0) await this.world.aimMemory(targetBytes, spec.memoryBytes);
  }

  get memoryMoves(): boolean {
    return this.world.balloon.moves;
  }

  /** The document and whether its process runs; for restoring ports and groups. */
  get document(): VmMemory['document'] {
    return this.memory.document;
  }

  /** Nothing is here, nothing is on its way: the actor may be let go of. */
  get disposable(): boolean {
    return this.vm.state === 'absent' && !this.busy && this.waiters.size === 0 && this.vm.open.length === 0;
  }

  /** Looks at the world and takes up what is there. Until then the VM is `unknown`. */
  async adopt(seen: readonly ProcessSeen[]): Promise<void> {
    const { finding } = await this.look(seen);
    if (finding.kind === 'silent') void this.lookUntilClear(finding.detail);
  }

  /** The result of the command, once; the same id again gets the same result, also while it is carried out. */
  command(command: VmCommand): Promise<Result<VmReply>> {
    const known = this.memory.book.results.get(command.commandId);
    if (known) return Promise.resolve(known.name === command.type ? (resultOf(known.outcome) as Result<VmReply>) : reused(command));
    const running = this.waiters.get(command.commandId);
    if (running) return running.promise;
    const open = this.vm.open.find(({ commandId }) => commandId === command.commandId);
    if (open) return Promise.resolve(CommandRunning.fail('The host is still looking at what became of this command.', { commandId: command.commandId }));
    if (this.stopped.signal.aborted) return Promise.resolve(ShuttingDown.fail('The agent is stopping.'));
    const { promise, resolve } = Promise.withResolvers<Result<VmReply>>();
    this.waiters.set(command.commandId, { promise, settle: resolve });
    if (command.type === 'vm.power-off') this.mailbox.postUrgent(command);
    else if (!this.mailbox.offer(command)) this.settle(command.commandId, VmBusy.fail('Too many commands wait for this VM.', { noun: 'vm', id: this.vm.vmId, state: this.vm.state }));
    this.wake();
    return promise;
  }

  async confirm(commandIds: readonly string[]): Promise<void> {
    await this.memory.forget(commandIds);
  }

  /** Finishes what is in the mailbox and lets go of the process, which goes on. */
  async stop(): Promise<void> {
    this.stopped.abort();
    await this.working;
    this.world.let();
    await this.memory.close();
  }

  private post(input: VmInput): void {
    this.mailbox.postUrgent(input);
    this.wake();
  }

  private wake(): void {
    if (this.busy) return;
    this.busy = true;
    this.working = this.work();
  }

  private async work(): Promise<void> {
    for (let input = this.mailbox.take(); input !== undefined; input = this.mailbox.take()) {
      try {
        await this.take(input);
      } catch (error) {
        this.environment.log.error({ vmId: this.vm.vmId, input: input.type, err: error }, 'a VM’s actor has failed on an input');
        if ('commandId' in input) this.waiters.get(input.commandId)?.settle(failed({ code: 'INTERNAL', detail: 'The agent failed on this command.', cause: error }));
      }
    }
    this.busy = false;
  }

  private async take(input: VmInput): Promise<void> {
    const before = this.vm;
    const decision = step(before, input);
    if (decision.kind === 'unchanged') return;
    if (decision.kind === 'denied') return this.deny(input as VmCommand, decision.fault);
    const { vm, effects } = decision;
    const command = 'commandId' in input ? input : null;
    const ready = await this.prepareMemory(before, vm);
    const answers = effects.filter((effect) => effect.do === 'answer').map((effect) => ({ open: effect.command, result: this.replyOf(vm, effect) }));
    const drops = effects.filter((effect) => effect.do === 'drop').map(({ command: open }) => open);
    const kept = ready.ok ? await this.memory.move(vm, command, answers, drops) : ready;
    if (!kept.ok && command) {
      this.refuse(command, kept.fault);
      return;
    }
    // The world has moved already, journal or not; the next look at it will find the same.
    if (!kept.ok) this.environment.log.error({ vmId: vm.vmId, fault: kept.fault }, 'a VM’s journal cannot be written');
    this.memory.accept(vm, command);
    if (command) await faultPoint(`${command.type}:intent`, vm.vmId);
    for (const { open, result } of answers) {
      await faultPoint(`${open.name}:done`, vm.vmId);
      this.settle(open.commandId, result);
    }
    // Whoever waits for a command that was dropped is told to send it again.
    for (const { commandId } of drops) this.settle(commandId, CommandRunning.fail('The host has lost sight of this command; send it again.', { commandId }));
    this.changed(before);
    for (const effect of effects) void this.carryOut(effect, vm);
  }

  /** A VM that comes into being gets its directory first; a tombstone is lifted before that. */
  private async prepareMemory(before: Vm, next: Vm): Promise<Result<void>> {
    if (this.memory.exists || before.state !== 'absent' || !next.open.some(({ name }) => name === 'vm.define' || name === 'vm.start')) return ok(undefined);
    const revived = await this.hooks.revive(next.vmId);
    return revived.ok ? this.memory.create() : revived;
  }

  private replyOf(vm: Vm, { command, fault, guest = 'not-asked' }: Extract<VmEffect, { do: 'answer' }>): Result<VmReply> {
    if (fault) return failed(fault);
    if (command.name === 'vm.adjust') return ok({ ...this.told(vm), guest });
    return ok(command.name === 'vm.delete' ? {} : this.told(vm));
  }

  private async deny(command: VmCommand, fault: Fault): Promise<void> {
    const outcome = outcomeOf(failed(fault));
    if (isKept(outcome)) await this.memory.record(command.commandId, command.type, outcome);
    this.refuse(command, fault);
  }

  private refuse(command: VmCommand, fault: Fault): void {
    this.settle(command.commandId, failed(fault));
  }

  private settle(commandId: string, result: Result<VmReply>): void {
    this.waiters.get(commandId)?.settle(result);
    this.waiters.delete(commandId);
  }

  private async carryOut(effect: VmEffect, vm: Vm): Promise<void> {
    switch (effect.do) {
      case 'write': return this.world.write(effect);
      case 'launch': return this.world.launch(effect);
      case 'ask-shutdown': return this.world.askShutdown(effect);
      case 'end': return this.world.end(effect, vm.process);
      case 'release': return this.world.release(vm.vmId);
      case 'forget': return this.forget(effect);
      case 'adjust': return this.world.adjust(effect, this.memory.document, (document) => this.memory.keepDocument(document));
      case 'steer': return this.world.steer(effect);
      case 'save': return this.world.save(effect, this.memory.document, (document) => this.memory.keepDocument(document));
      case 'answer': case 'drop': return;
    }
  }

  private async forget({ commandId, epoch }: Extract<VmEffect, { do: 'forget' }>): Promise<void> {
    const buried = await this.hooks.bury(this.vm.vmId, epoch, commandId, this.memory.book);
    await faultPoint('vm.delete:buried', this.vm.vmId);
    if (buried.ok) await this.memory.remove();
    await faultPoint('vm.delete:removed', this.vm.vmId);
    this.post({ type: 'forgotten', fault: buried.ok ? null : buried.fault });
  }

  private async look(seen?: readonly ProcessSeen[]) {
    const looked = await this.world.look(seen, this.vm.open.some((open) => open.name === 'vm.start' && loadsMemory(this.memory.book.intents.get(open.commandId)?.input)));
    const { finding, also, devices } = looked;
    const settled = settle(this.vm.open, { finding, devices, ending: this.vm.ending, document: this.memory.document }, (commandId) => this.memory.book.intents.get(commandId)?.input);
    this.post({ type: 'looked', finding, ...settled });
    if (also) this.post(also);
    await this.working;
    return looked;
  }

  /** A process that does not answer is looked at again and again: it may hang, be stopped, or be held by somebody else. */
  private async lookUntilClear(detail: string): Promise<void> {
    this.environment.log.warn({ vmId: this.vm.vmId, detail }, 'a QEMU does not answer');
    for (;;) {
      await sleep(silentPauseMs, this.stopped.signal);
      if (this.stopped.signal.aborted) return;
      const { finding } = await this.look();
      if (finding.kind !== 'silent') return;
    }
  }

  private changed(before?: Vm): void {
    const status = this.status();
    if (before === undefined || JSON.stringify(this.told(before)) !== JSON.stringify(status)) this.hooks.onChange(status);
  }
}

const loadsMemory = (intent: unknown): boolean => typeof intent === 'object' && intent !== null && 'memory' in intent && intent.memory !== null;

const reused = (command: VmCommand): Result<never> => IdempotencyKeyReused.fail(`The command id ${command.commandId} was used for another command.`);

// What a step's code holds in its hands while it runs: built anew for every run of a step.
import type { EntityManager } from 'typeorm';
import type { HostOperation, Operation, ReplyOf, RequestOf } from '#contracts';
import { dbNow, fromJson } from '#database';
import { bodyHash } from '#kernel';
import { callHost, callService, followChild } from './calls.worker.ts';
import type { Caller } from './calls.worker.ts';
import { fenced } from './claim.store.ts';
import type { RunControl } from './control.ts';
import { CancelAsked, ClaimLost, Parked, Stopping } from './interrupt.ts';
import { commandIdOf } from './keys.ts';
import type { CallPlace } from './keys.ts';
import type { Blocker, CallPart, ChildCall, ChildResult, HostInput, Progress, Step, StepContext, TaskInfo, TaskLog } from './kind.ts';
import type { ProgressMeter } from './progress.worker.ts';
import { recordChild } from './record.store.ts';
import { childrenOf, taskInfo } from './rows.ts';
import type { StepRow, TaskRow } from './rows.ts';
import type { Workshop } from './run.worker.ts';
import { showChildren } from './show-child.store.ts';

const LOOK_AGAIN_MS = 5_000;

export interface StepScene {
  readonly shop: Workshop;
  readonly control: RunControl;
  readonly row: TaskRow;
  readonly steps: readonly StepRow[];
  readonly step: StepRow;
  readonly plan: Step<unknown>;
  readonly meter: ProgressMeter;
}

export class StepRun implements StepContext<unknown> {
  readonly task: TaskInfo;
  readonly input: unknown;
  readonly attempt: number;
  readonly commandId: string;
  readonly signal: AbortSignal;
  readonly log: TaskLog;
  /** Kept, so that a step which swallowed the interruption parks all the same. */
  parked: Parked | undefined;
  private readonly place: CallPlace;
  private readonly used = new Map<string, string>();

  constructor(private readonly scene: StepScene) {
    const { row, step, control, shop } = scene;
    this.task = taskInfo(row);
    this.input = fromJson(row.input);
    this.attempt = step.attempt;
    this.place = { taskId: row.id, rootTaskId: row.root_task_id, seq: step.seq, undo: row.direction === 'undo' };
    this.commandId = commandIdOf(this.place);
    this.signal = control.signal;
    this.log = shop.log;
  }

  output<T>(name: string): T {
    const found = this.scene.steps.find((step) => step.name === name);
    if (found === undefined) throw new Error(`${this.task.kind} has no step ${name}`);
    if (found.state !== 'done' && !this.place.undo) throw new Error(`${this.task.kind}: step ${name} has not been done yet`);
    return (found.output === null ? undefined : fromJson<T>(found.output)) as T;
  }

  runCommandId(part?: string): string {
    return commandIdOf({ ...this.place, undo: false }, part);
  }

  tx<T>(work: (tx: EntityManager) => Promise<T>): Promise<T> {
    this.check();
    return fenced(this.scene.shop.book.db, this.scene.control.claim, work);
  }

  progress(progress: Progress): void {
    this.scene.meter.show(progress);
  }

  decided(): void {
    // It is done, not planned.
  }

  waitFor(blocker: Blocker): never {
    return this.park(new Parked({ what: blocker.what, holder: blocker.holder ?? null, position: blocker.position ?? null }, blocker.lookAgainMs ?? LOOK_AGAIN_MS));
  }

  async child<O extends Operation>(operation: O, input: RequestOf<O>, options: CallPart = {}): Promise<ChildResult> {
    const ended = await this.follow({ operation, input, part: options.part });
    return typeof ended === 'string' ? this.park(this.childWork([operation.name], ended)) : ended;
  }

  async children(calls: readonly ChildCall[]): Promise<ChildResult[]> {
    const ended: ChildResult[] = [];
    const working: string[] = [];
    let first: string | undefined;
    // One after the other: each must be noted before it is asked for.
    for (const call of calls) {
      const result = await this.follow(call);
      if (typeof result === 'string') {
        working.push(call.operation.name);
        first ??= result;
      } else ended.push(result);
    }
    return first === undefined ? ended : this.park(this.childWork(working, first));
  }

  private follow(call: { operation: Operation; input: unknown; part: string | undefined }): Promise<ChildResult | string> {
    this.check();
    this.once(call.operation.service, call.operation.name, call.input, call.part);
    return this.keep(followChild(this.caller(), call.operation, call.input, call.part));
  }

  private childWork(names: readonly string[], first: string): Parked {
    const what = names.length === 1 ? `the task ${names[0] ?? ''}` : `${names.length} tasks, among them ${names[0] ?? ''}`;
    return new Parked({ what, holder: first, position: null }, this.scene.shop.settings.childLookMs);
  }

  host<O extends HostOperation>(hostId: string, operation: O, input: HostInput<O>, options: CallPart = {}): Promise<ReplyOf<O>> {
    this.check();
    this.once(hostId, operation.name, input, options.part);
    const full = takesCommandId(operation) ? { ...input, commandId: commandIdOf(this.place, options.part) } : input;
    return this.keep(callHost(this.caller(), hostId, operation, full as RequestOf<O>, options.waitsFor));
  }

  request<O extends Operation>(operation: O, input: RequestOf<O>, options: CallPart = {}): Promise<ReplyOf<O>> {
    this.check();
    if (operation.kind === 'command') this.once(operation.service, operation.name, input, options.part);
    return this.keep(callService(this.caller(), operation, input, options.part));
  }

  private caller(): Caller {
    const { shop, control, row, step, plan } = this.scene;
    return {
      bus: shop.bus, place: this.place, signal: control.signal, parks: step.parks,
      retryForMs: plan.retryForMs ?? shop.settings.retryForMs, childLookMs: shop.settings.childLookMs, hostTryMs: shop.settings.hostTryMs,
      children: childrenOf(step),
      failingForMs: async () => (step.retry_since === null ? 0 : (await dbNow(shop.book.db)).getTime() - step.retry_since.getTime()),
      showChild: (task) => showChildren(shop.book, row.id, [task]),
      noteChild: (key, child, onItsWayMs) => recordChild(shop.book, { taskId: row.id, epoch: control.claim.epoch }, step.seq, key, child, onItsWayMs),
    };
  }

  /** Two different calls under one key would get one answer: a mistake in the step, found at its first run. */
  private once(receiver: string, operation: string, input: unknown, part: string | undefined): void {
    const name = `${receiver} ${part ?? ''}`;
    const call = `${operation} ${bodyHash(input)}`;
    const before = this.used.get(name) ?? call;
    if (before !== call) throw new Error(`${this.task.kind}: two calls of one step (${operation}) need different parts`);
    this.used.set(name, call);
  }

  private async keep<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (error instanceof Parked) this.parked = error;
      throw error;
    }
  }

  private park(parked: Parked): never {
    this.check();
    this.parked = parked;
    throw parked;
  }

  private check(): void {
    const { interruption } = this.scene.control;
    if (interruption === 'lost') throw new ClaimLost();
    if (interruption === 'stopping') throw new Stopping();
    if (interruption === 'cancelled') throw new CancelAsked();
  }
}

function takesCommandId(operation: HostOperation): boolean {
  const shape = 'shape' in operation.input ? operation.input.shape : undefined;
  return typeof shape === 'object' && shape !== null && 'commandId' in shape;
}

// What a step's code holds in its hands while it runs: built anew for every run of a step.
import type { EntityManager } from 'typeorm';
import type { HostOperation, Operation, ReplyOf, RequestOf } from '#contracts';
import { dbNow, fromJson } from '#database';
import { bodyHash } from '#kernel';
import type { Boundary } from './boundary.ts';
import { callHost, callService, followChild, resultOf } from './calls.worker.ts';
import type { Caller } from './calls.worker.ts';
import { fenced } from './claim.store.ts';
import type { RunControl } from './control.ts';
import { CancelAsked, ClaimLost, Parked, Stopping } from './interrupt.ts';
import { commandIdOf } from './keys.ts';
import type { CallPlace } from './keys.ts';
import type { Blocker, CallPart, ChildCall, ChildResult, HostInput, Progress, Step, StepContext, TaskInfo, TaskLog } from './kind.ts';
import type { ProgressMeter } from './progress.worker.ts';
import { noteChild, recordChild, recordForward } from './record.store.ts';
import type { ChildNote } from './record.store.ts';
import { childrenOf, taskInfo } from './rows.ts';
import type { StepRow, TaskRow } from './rows.ts';
import type { Workshop } from './run.worker.ts';
import type { TaskInHand } from './task-in-hand.store.ts';
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
  /** The span of this run. */
  readonly traceparent: string;
  /** Of a run on its way forward. */
  readonly boundary?: Boundary;
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
  private beginning: Promise<unknown> | undefined;

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

  get traceparent(): string {
    return this.scene.traceparent;
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

  async tx<T>(work: (tx: EntityManager) => Promise<T>): Promise<T> {
    this.check();
    const { shop: { book }, control: { claim } } = this.scene;
    const { beginning } = this;
    if (beginning === undefined) return this.isBegun ? fenced(book.db, claim, work) : this.begin(work);
    // Another call of the step is just putting it on record; if that fails, this one tries.
    await beginning.catch(() => undefined);
    return this.tx(work);
  }

  /** Not shown before the step is on record. */
  progress(progress: Progress): void {
    if (this.isBegun) this.scene.meter.show(progress);
  }

  private get isBegun(): boolean {
    return this.scene.boundary?.open === undefined;
  }

  private async note(note: ChildNote): Promise<void> {
    const calls = await this.noted(note);
    this.scene.step.calls = calls;
  }

  private async noted(note: ChildNote): Promise<unknown> {
    if (!this.isBegun && this.beginning === undefined) return this.begin((_tx, task) => noteChild(task, note));
    await this.begun();
    return recordChild(this.scene.shop.book, this.scene.control.claim, note);
  }

  /** Puts the step on record, with what the transaction does besides. */
  private async begin<T>(work: (tx: EntityManager, task: TaskInHand) => Promise<T> | T): Promise<T> {
    const { shop: { book }, control: { claim }, boundary } = this.scene;
    const advance = boundary?.open;
    if (boundary === undefined || advance === undefined) throw new Error('the step has begun');
    const recording = recordForward(book, claim, advance, work).then((value) => {
      boundary.close();
      return value;
    }).finally(() => { this.beginning = undefined; });
    this.beginning = recording;
    return recording;
  }

  /** The step is on record when this resolves: what has an effect may come. */
  private async begun(): Promise<void> {
    while (!this.isBegun) await (this.beginning ?? this.begin(() => undefined));
  }

  decided(): void {
    // It is done, not planned.
  }

  waitFor(blocker: Blocker): never {
    return this.park(new Parked({ what: blocker.what, holder: blocker.holder ?? null, position: blocker.position ?? null }, blocker.lookAgainMs ?? LOOK_AGAIN_MS));
  }

  async child<O extends Operation>(operation: O, input: RequestOf<O>, options: CallPart = {}): Promise<ChildResult> {
    const [ended] = await this.followAll([{ operation, input, part: options.part }]);
    if (ended === undefined) throw new Error('a call has a result');
    return ended;
  }

  children(calls: readonly ChildCall[]): Promise<ChildResult[]> {
    return this.followAll(calls);
  }

  /** A child that ends soon is waited for on the spot; behind that the task parks. */
  private async followAll(calls: readonly { readonly operation: Operation; readonly input: unknown; readonly part: string | undefined }[]): Promise<ChildResult[]> {
    const { childEnds, settings: { childNearMs } } = this.scene.shop;
    const wait = childEnds?.expect(this.task.id);
    const until = performance.now() + childNearMs;
    const found = new Map<number, ChildResult | string>();
    try {
      for (;;) {
        // One after the other: each must be noted before it is asked for.
        for (const [index, call] of calls.entries()) {
          const known = found.get(index);
          if (typeof known === 'object') continue;
          // What its own event has said need not be asked for.
          const told = known === undefined ? undefined : wait?.endOf(known);
          found.set(index, told === undefined ? await this.follow(call) : await resultOf(this.caller(), told));
        }
        const ended = [...found.values()].filter((result) => typeof result === 'object');
        if (ended.length === calls.length) return ended;
        // Nothing is waited for between this look and the closing of the wait: an end behind it wakes the task.
        if (wait === undefined || !(await wait.within(until - performance.now(), this.signal))) break;
      }
    } finally {
      wait?.close();
    }
    const working = calls.filter((_call, index) => typeof found.get(index) === 'string');
    const first = [...found.values()].find((result) => typeof result === 'string');
    return this.park(this.childWork(working.map(({ operation }) => operation.name), first ?? ''));
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
    return this.keep(this.begun().then(() => callHost(this.caller(), hostId, operation, full as RequestOf<O>, options.waitsFor)));
  }

  request<O extends Operation>(operation: O, input: RequestOf<O>, options: CallPart = {}): Promise<ReplyOf<O>> {
    this.check();
    if (operation.kind !== 'command') return this.keep(callService(this.caller(), operation, input, options.part));
    this.once(operation.service, operation.name, input, options.part);
    return this.keep(this.begun().then(() => callService(this.caller(), operation, input, options.part)));
  }

  private caller(): Caller {
    const { shop, control, row, step, plan, traceparent } = this.scene;
    return {
      bus: shop.bus, place: this.place, signal: control.signal, traceparent, parks: step.parks,
      retryForMs: plan.retryForMs ?? shop.settings.retryForMs, childLookMs: shop.settings.childLookMs, hostTryMs: shop.settings.hostTryMs,
      children: childrenOf(step),
      failingForMs: async () => (step.retry_since === null ? 0 : (await dbNow(shop.book.db)).getTime() - step.retry_since.getTime()),
      showChild: (task) => showChildren(shop.book, row.id, [task]),
      noteChild: (key, child, onItsWayMs) => this.note({ seq: step.seq, key, child, onItsWayMs }),
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

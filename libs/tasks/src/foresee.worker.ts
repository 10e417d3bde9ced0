// What the steps of a task would find, for a dry run: their own code runs in the transaction that is about to be rolled
// back. Questions are asked; a command goes only to who explains it; a host is told nothing. Where something can be known
// only when it is done, the look ahead ends and the steps behind are named.
import type { EntityManager } from 'typeorm';
import type { CallOptions, PlanDraft } from '#bus';
import type { HostOperation, Operation, PlanNote, PlanStep, ReplyOf, RequestOf } from '#contracts';
import { fromJson } from '#database';
import { FaultError, orThrow } from '#kernel';
import type { Fault } from '#kernel';
import type { TaskBus } from './calls.worker.ts';
import { faultOfWire, passesByItself, wireFault } from './fault.ts';
import { commandIdOf } from './keys.ts';
import type { Blocker, ChildCall, ChildResult, Step, StepContext, TaskInfo, TaskKind, TaskLog } from './kind.ts';
import { taskInfo } from './rows.ts';
import type { TaskRow } from './rows.ts';
import { isFailed, outputOf } from './step.worker.ts';
import { readTaskRow } from './task.store.ts';

export interface Foreseen {
  readonly tx: EntityManager;
  readonly draft: PlanDraft;
  readonly kind: TaskKind;
  readonly taskId: string;
  readonly bus: TaskBus;
  readonly log: TaskLog;
  /** Time that the asker still has. */
  readonly leftMs: () => number;
}

/** Rows are locked meanwhile, so nobody is waited for longer than this. */
const ASK_MS = 2_000;
/** Kept of the asker's time for the answer. */
const RESERVE_MS = 500;

/** What comes now can be known only when it is done. */
class NoFurther extends Error {}

export function foresee(scene: Foreseen): void {
  scene.draft.begins(scene.kind.kind, () => lookAhead(scene));
}

async function lookAhead(scene: Foreseen): Promise<void> {
  const { draft, kind } = scene;
  const row = await readTaskRow(scene.tx, scene.taskId);
  if (row === undefined) throw new Error('the task of a dry run is not there');
  const outputs = new Map<string, unknown>();
  let goesOn = true;
  for (const [seq, step] of kind.steps.entries()) {
    const look = step.foreseeable === true ? step.run.bind(step) : step.foresee?.bind(step);
    const found = goesOn && look !== undefined ? await lookAt(new StepAhead(scene, step, seq, row, outputs), look) : planned([]);
    draft.step({ name: step.name, why: step.why ?? null, ...found });
    // A step that is only named may be passed: who needs what it answers does not get it, and ends the look there.
    if (found.outlook === 'fails') goesOn = false;
  }
}

type Found = Pick<PlanStep, 'outlook' | 'decisions'>;
const planned = (decisions: PlanNote[]): Found => ({ outlook: 'planned', decisions });

async function lookAt(ahead: StepAhead, look: (ctx: StepContext<unknown>) => Promise<unknown>): Promise<Found> {
  const { scene, step, outputs, notes } = ahead;
  try {
    const answer = await look(ahead);
    if (isFailed(answer)) return failing(ahead, answer.fault);
    if (answer === undefined && step.foreseeable !== true) return planned(notes);
    outputs.set(step.name, outputOf(answer));
    return { outlook: 'foreseen', decisions: notes };
  } catch (error) {
    if (error instanceof NoFurther) return planned(notes);
    if (error instanceof FaultError) return failing(ahead, error.fault);
    scene.log.error({ err: error, kind: scene.kind.kind, step: step.name }, 'a step could not be foreseen');
    throw error;
  }
}

function failing({ scene, step, notes, task }: StepAhead, fault: Fault): Found {
  if (passesByItself(fault)) {
    scene.draft.warned(`${step.name} cannot be foreseen now: ${fault.detail}`);
    return planned(notes);
  }
  scene.draft.fails(wireFault(fault, task.traceId));
  return { outlook: 'fails', decisions: [...notes, { text: fault.detail }] };
}

/** What a step works with while nothing of it is meant. */
class StepAhead implements StepContext<unknown> {
  readonly task: TaskInfo;
  readonly input: unknown;
  readonly attempt = 1;
  readonly notes: PlanNote[] = [];
  readonly signal = new AbortController().signal;
  readonly log: TaskLog;
  readonly commandId: string;

  constructor(
    readonly scene: Foreseen, readonly step: Step<unknown>, private readonly seq: number,
    private readonly row: TaskRow, readonly outputs: Map<string, unknown>,
  ) {
    this.task = taskInfo(row);
    this.input = fromJson(row.input);
    this.log = scene.log;
    this.commandId = this.runCommandId();
  }

  output<T>(name: string): T {
    if (!this.outputs.has(name)) throw new NoFurther(name);
    return this.outputs.get(name) as T;
  }

  runCommandId(part?: string): string {
    return commandIdOf({ taskId: this.task.id, rootTaskId: this.task.rootTaskId, seq: this.seq, undo: false }, part);
  }

  tx<T>(work: (tx: EntityManager) => Promise<T>): Promise<T> {
    return work(this.scene.tx);
  }

  progress(): void {
    // Nothing is under way.
  }

  decided(text: string, details?: Readonly<Record<string, unknown>>): void {
    this.notes.push({ text, ...(details === undefined ? {} : { details: { ...details } }) });
  }

  waitFor({ what }: Blocker): never {
    this.notes.push({ text: `waits for ${what}` });
    throw new NoFurther(what);
  }

  async child<O extends Operation>(operation: O, input: RequestOf<O>): Promise<ChildResult> {
    await this.explained(operation, input);
    return { taskId: '', objectId: '', output: null };
  }

  async children(calls: readonly ChildCall[]): Promise<ChildResult[]> {
    const results: ChildResult[] = [];
    for (const { operation, input } of calls) results.push(await this.child(operation, input));
    return results;
  }

  host<O extends HostOperation>(hostId: string, operation: O): Promise<ReplyOf<O>> {
    this.notes.push({ text: `tells the host: ${operation.summary}`, details: { hostId, command: operation.name } });
    return Promise.reject(new NoFurther(operation.name));
  }

  async request<O extends Operation>(operation: O, input: RequestOf<O>): Promise<ReplyOf<O>> {
    if (operation.kind === 'command') return (await this.explained(operation, input)) as ReplyOf<O>;
    return orThrow(await this.scene.bus.request(operation, input, this.options()));
  }

  private async explained(operation: Operation, input: unknown): Promise<unknown> {
    if (!operation.dryRun) {
      this.notes.push({ text: `asks ${operation.service}: ${operation.summary}`, details: { operation: operation.name } });
      throw new NoFurther(operation.name);
    }
    const plan = orThrow(await this.scene.bus.explain(operation, input, this.options()));
    this.notes.push(...plan.decisions, ...plan.steps.flatMap((step) => step.decisions));
    if (plan.task !== null) this.notes.push({ text: `starts ${plan.task}: ${plan.steps.map(({ name }) => name).join(', ')}`, details: { task: plan.task, steps: plan.steps.map(({ name }) => name) } });
    for (const warning of plan.warnings) this.scene.draft.warned(warning);
    if (plan.error !== null) throw new FaultError(faultOfWire(plan.error));
    return plan.result;
  }

  private options(): CallOptions {
    const { scene, row: { traceparent } } = this;
    return { as: 'system', timeoutMs: Math.max(1, Math.min(ASK_MS, scene.leftMs() - RESERVE_MS)), ...(traceparent === null ? {} : { traceparent }) };
  }
}

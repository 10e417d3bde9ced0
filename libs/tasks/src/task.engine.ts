// Durable tasks of one service: begins them in a caller's transaction, runs them on whatever replica has room, and gets
// every one to an end whatever is killed meanwhile. MySQL is the truth; Redis and events only make it fast.
import type { NatsConnection, Subscription } from '@nats-io/transport-node';
import type { DataSource, EntityManager } from 'typeorm';
import type { Task, TaskRef, TaskService } from '#contracts';
import { eventSubject, taskChanged } from '#contracts';
import { afterCommit } from '#database';
import type { Result } from '#kernel';
import type { TaskBus } from './calls.worker.ts';
import { ChildEnds } from './child-ends.ts';
import { childTold } from './child-event.ts';
import { ChildNews } from './children.worker.ts';
import { Floor } from './floor.worker.ts';
import { foresee } from './foresee.worker.ts';
import { holdsOf } from './hold.ts';
import type { Holds } from './hold.ts';
import { cancelTask, retryTask } from './intervene.store.ts';
import type { Progress, TaskKind, TaskLog } from './kind.ts';
import { Loop } from './loop.ts';
import { processName } from './process-name.proc.ts';
import { tasksKept } from './retention.store.ts';
import type { TasksKept } from './retention.store.ts';
import type { Book } from './record.store.ts';
import { showProgressOf } from './report-progress.store.ts';
import type { Workshop } from './run.worker.ts';
import { defaultTaskSettings, heldTaskSettings, roomForHeld } from './settings.ts';
import type { TaskSettings } from './settings.ts';
import { startTask } from './start.store.ts';
import type { StartTask } from './start.store.ts';
import { purgeOld, sweepTasks } from './sweep.reconciler.ts';
import { listTasks, readTask } from './task.store.ts';
import { WakeQueue } from './wake.queue.ts';

export interface TaskEngineOptions {
  readonly service: TaskService;
  readonly db: DataSource;
  readonly bus: TaskBus;
  readonly log: TaskLog;
  /** Without it tasks run by the sweep alone. */
  readonly redisUrl?: string | null;
  /** Hears the end of child tasks; without it parents look now and then. */
  readonly nats?: NatsConnection;
  readonly settings?: Partial<TaskSettings>;
  /** How long tasks are kept after their end. */
  readonly kept?: TasksKept;
}

const PURGE_MS = 60_000;

export class TaskEngine {
  readonly service: TaskService;
  readonly db: DataSource;
  private readonly book: Book;
  private readonly kinds = new Map<string, TaskKind>();
  private readonly settings: TaskSettings;
  private readonly holds: Holds | undefined;
  private readonly floor: Floor;
  private readonly sweeper: Loop;
  private readonly purger: Loop;
  private readonly children: ChildNews;
  private readonly childEnds = new ChildEnds();
  private readonly timers = new Set<NodeJS.Timeout>();
  private wakes: WakeQueue | undefined;
  private ends: Subscription | undefined;
  private isOpen = false;

  constructor(private readonly options: TaskEngineOptions) {
    const { service, db, bus, log } = options;
    this.service = service;
    this.db = db;
    this.book = { db, service, wake: (taskIds) => { for (const taskId of taskIds) this.wakeOf(taskId); } };
    this.children = new ChildNews(this.book, log);
    this.holds = holdsOf(process.env);
    const settings = { ...defaultTaskSettings, ...(this.holds === undefined ? {} : heldTaskSettings), ...options.settings };
    this.settings = this.holds === undefined ? settings : { ...settings, slots: roomForHeld(settings.slots) };
    const shop: Workshop = { book: this.book, bus, settings: this.settings, log, kinds: this.kinds, childEnds: options.nats === undefined ? undefined : this.childEnds, holds: this.holds };
    this.floor = new Floor(shop, processName(), (taskId, afterMs) => { this.later(taskId, afterMs); });
    this.sweeper = new Loop(() => this.sweep(), (error) => this.complain(error, 'the sweep failed', this.settings.sweepMs));
    this.purger = new Loop(async (signal) => { await purgeOld({ db, bus, kept: options.kept ?? tasksKept }, signal); return PURGE_MS; }, (error) => this.complain(error, 'the purge failed', PURGE_MS));
  }

  /** Makes kinds known; before `open`, because a task of an unknown kind is left lying. */
  add(kinds: readonly TaskKind[]): void {
    for (const kind of kinds) {
      if (this.kinds.has(kind.kind)) throw new Error(`the task ${kind.kind} is defined twice`);
      if (!kind.kind.startsWith(`${this.service}.`)) throw new Error(`the task ${kind.kind} does not belong to ${this.service}`);
      this.kinds.set(kind.kind, kind);
      this.holds?.tell(kind);
    }
  }

  /** Begins to run tasks. Throws when Redis is there and evicts; opens without Redis otherwise. */
  async open(): Promise<void> {
    const { redisUrl, nats, log } = this.options;
    this.isOpen = true;
    this.floor.open();
    try {
      if (redisUrl !== undefined && redisUrl !== null) this.wakes = await WakeQueue.open({ service: this.service, redisUrl, concurrency: this.settings.concurrency, log, look: (taskId) => this.floor.look(taskId) });
    } catch (error) {
      await this.close();
      throw error;
    }
    if (nats !== undefined) this.ends = this.listen(nats);
    this.sweeper.start();
    this.purger.start();
  }

  /** Whether wake-ups go through Redis at the moment. */
  get redisWorks(): boolean {
    return this.wakes?.usable === true;
  }

  /**
   * Begins a task in the transaction that decided on it; it runs after the commit. Throws BUSY when a locked object
   * belongs to another root task. A command that another task sent makes its task that one's child.
   */
  async start<I>(tx: EntityManager, kind: TaskKind<I> | string, start: StartTask<I>): Promise<TaskRef> {
    const known = this.kinds.get(typeof kind === 'string' ? kind : kind.kind);
    if (known === undefined) throw new Error(`there is no task ${typeof kind === 'string' ? kind : kind.kind} here`);
    const ref = await startTask(tx, this.service, known, start);
    const draft = start.ctx?.dryRun;
    if (draft !== undefined) {
      foresee({ tx, draft, kind: known, taskId: ref.taskId, bus: this.options.bus, log: this.options.log, leftMs: () => start.ctx?.deadline?.leftMs() ?? Infinity });
      return ref;
    }
    afterCommit(tx, () => { this.later(ref.taskId, 0); });
    return ref;
  }

  /** Has a task looked at now: what it waits for has happened. Does nothing to one that has ended. */
  wake(taskId: string): Promise<void> {
    return this.floor.wake(taskId);
  }

  /** Asks a task to end; a fault is thrown when it cannot. Its step hears at once if it runs here, else within seconds. */
  async cancel(tx: EntityManager, taskId: string): Promise<void> {
    await cancelTask(tx, this.book, this.kinds, taskId);
    afterCommit(tx, () => {
      this.floor.cancel(taskId);
      this.later(taskId, 0);
    });
  }

  /** Sets a task that needs attention going again. */
  async retry(tx: EntityManager, taskId: string): Promise<void> {
    await retryTask(tx, this.service, taskId);
    afterCommit(tx, () => { this.later(taskId, 0); });
  }

  get(taskId: string): Promise<Task | undefined> {
    return readTask(this.db, this.service, taskId);
  }

  list(input: { limit: number; cursor?: string | undefined; open?: boolean | undefined }): Promise<Result<{ items: Task[]; next: string | null }>> {
    return listTasks(this.db, this.service, input);
  }

  /** Progress that came from outside, such as a host's report; `commandId` is the one the step sent. */
  reportProgress(commandId: string, progress: Progress): Promise<void> {
    return showProgressOf(this.book, commandId, progress);
  }

  /** Runs nothing any more: steps that do not end within `stopMs` are repeated by another replica. */
  async close(): Promise<void> {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.ends?.unsubscribe();
    for (const timer of this.timers) clearTimeout(timer);
    // Together: a sweep may be waiting for a place on the floor, which has none to give any more.
    await Promise.all([this.floor.close(this.settings.stopMs), this.sweeper.stop(), this.purger.stop(), this.wakes?.close()]);
    await this.children.close();
  }

  /** For tests: stops as a killed process does, in the middle of everything and without handing over. */
  async vanish(): Promise<void> {
    this.floor.vanish();
    await this.fallSilent();
  }

  /** For tests: stops as a stopped process does. The answer resolves when what it was at has ended, once that goes on. */
  async freeze(): Promise<() => Promise<void>> {
    this.floor.freeze();
    await this.fallSilent();
    return () => this.floor.quiet();
  }

  private async fallSilent(): Promise<void> {
    this.isOpen = false;
    this.ends?.unsubscribe();
    for (const timer of this.timers) clearTimeout(timer);
    await Promise.all([this.sweeper.stop(), this.purger.stop(), this.wakes?.close(), this.children.close()]);
  }

  private async sweep(): Promise<number> {
    const more = await sweepTasks({
      db: this.db, sweepMs: this.settings.sweepMs,
      enqueue: async (taskId, wakeCount) => (await this.wakes?.add(taskId, wakeCount, 0)) ?? false,
      begin: (taskId, withinMs) => this.floor.begin(taskId, withinMs),
    });
    if (more) return 0;
    // Replicas that started together should not look together.
    return this.settings.sweepMs * (0.8 + Math.random() * 0.4);
  }

  /** Has somebody look after `afterMs`: any replica through Redis, or this one. Lost with this process; the sweep remains. */
  private later(taskId: string, afterMs: number): void {
    if (!this.isOpen) return;
    void this.enqueue(taskId, afterMs).then((added) => {
      if (added || !this.isOpen) return;
      const timer = setTimeout(() => {
        this.timers.delete(timer);
        if (this.isOpen && this.floor.hasRoom) void this.floor.look(taskId);
      }, afterMs);
      this.timers.add(timer);
    });
  }

  private enqueue(taskId: string, afterMs: number): Promise<boolean> {
    // Two wake-ups within a millisecond may become one; the task is looked at after both.
    return this.wakes?.add(taskId, Date.now() + afterMs, afterMs) ?? Promise.resolve(false);
  }

  private listen(nats: NatsConnection): Subscription {
    const anyService = eventSubject(taskChanged(this.service), '*').replace(`.${this.service}.`, '.*.');
    return nats.subscribe(anyService, {
      queue: `${this.service}-task-ends`,
      callback: (error, message) => {
        const told = error === null ? childTold(message.data) : null;
        if (told === null) return;
        // A parent goes on by itself behind a child that has succeeded, and shows it as such.
        if (told.task !== null && told.task.state !== 'succeeded') this.children.tell(told.parentTaskId, told.task);
        if (!told.ended || this.childEnds.tell(told.parentTaskId, told.task)) return;
        this.wakeOf(told.parentTaskId);
      },
    });
  }

  private wakeOf(taskId: string): void {
    this.wake(taskId).catch((cause: unknown) => { this.complain(cause, 'a task could not be woken; it looks by itself', 0); });
  }

  private complain(error: unknown, text: string, againMs: number): number {
    this.options.log.error({ err: error }, text);
    return againMs;
  }
}

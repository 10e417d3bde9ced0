// Wake-ups through Redis: "look at task T now". They may be lost, doubled or late; the sweep makes up for all of it.
// Nothing here ever waits for Redis to come back.
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { TaskLog } from './kind.ts';

export interface WakeQueueOptions {
  readonly service: string;
  readonly redisUrl: string;
  readonly concurrency: number;
  readonly log: TaskLog;
  /** Looks at the task; resolves when the worker is free again. */
  readonly look: (taskId: string) => Promise<void>;
}

const POLICY_WAIT_MS = 1_500;
const longestPauseMs = 2_000;
const retryStrategy = (times: number): number => Math.min(50 * 2 ** Math.min(times, 6), longestPauseMs);

export class WakeQueue {
  private readonly adding: Redis;
  private readonly working: Redis;
  /** Only on a connection that is there: made before, it fails at once and for good. */
  private queue: Queue | undefined;
  private opening: Promise<void> | undefined;
  private worker: Worker | undefined;
  private closed = false;
  private complained = false;

  private constructor(private readonly options: WakeQueueOptions) {
    const { redisUrl, service, log } = options;
    // Without the offline queue an add fails at once while Redis is away; with it, it would hang.
    this.adding = new Redis(redisUrl, { enableOfflineQueue: false, maxRetriesPerRequest: 1, retryStrategy, connectionName: `${service}-wake` });
    this.working = new Redis(redisUrl, { maxRetriesPerRequest: null, retryStrategy, connectionName: `${service}-work` });
    for (const connection of [this.adding, this.working]) connection.on('error', (error: Error) => { this.complain(error); });
    this.adding.on('ready', () => {
      if (this.complained) log.info({}, 'Redis is back; tasks are woken through it again');
      this.complained = false;
      void this.openQueue();
    });
  }

  /** Throws when Redis is reachable and would evict wake-ups. Without Redis it opens all the same. */
  static async open(options: WakeQueueOptions): Promise<WakeQueue> {
    const wakes = new WakeQueue(options);
    const policy = await wakes.evictionPolicy();
    if (policy !== undefined && policy !== 'noeviction') {
      await wakes.close();
      throw new Error(`Redis has maxmemory-policy ${policy}; it must be noeviction, or wake-ups disappear`);
    }
    await wakes.opening;
    wakes.work();
    return wakes;
  }

  private async evictionPolicy(): Promise<string | undefined> {
    const ready = new Promise<boolean>((resolve) => {
      if (this.adding.status === 'ready') { resolve(true); return; }
      const timer = setTimeout(() => { resolve(false); }, POLICY_WAIT_MS);
      this.adding.once('ready', () => {
        clearTimeout(timer);
        resolve(true);
      });
    });
    if (!(await ready)) return undefined;
    return /maxmemory_policy:([\w-]+)/.exec(await this.adding.info('memory'))?.[1];
  }

  private get name(): string {
    return `tok-${this.options.service}-tasks`;
  }

  /** Whenever Redis is there, until it has succeeded. Never rejects. */
  private openQueue(): Promise<void> {
    if (this.queue !== undefined) return Promise.resolve();
    this.opening ??= this.makeQueue().catch((error: unknown) => { this.complain(error); }).finally(() => { this.opening = undefined; });
    return this.opening;
  }

  private async makeQueue(): Promise<void> {
    const queue = new Queue(this.name, { connection: this.adding, skipWaitingForReady: true, defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 } });
    queue.on('error', (error) => { this.complain(error); });
    try {
      await queue.waitUntilReady();
    } catch (error) {
      await queue.close();
      throw error;
    }
    if (this.closed) await queue.close();
    else this.queue = queue;
  }

  private work(): void {
    const { concurrency, look } = this.options;
    this.worker = new Worker(this.name, (job) => look(String((job.data as { taskId?: unknown }).taskId)), { connection: this.working, concurrency });
    this.worker.on('error', (error) => { this.complain(error); });
  }

  /** Whether an add would reach Redis now. */
  get usable(): boolean {
    return this.usableQueue !== undefined;
  }

  private get usableQueue(): Queue | undefined {
    return this.closed || this.adding.status !== 'ready' ? undefined : this.queue;
  }

  /** `wakeCount` names the reason: the same reason twice is one job. Never throws; the sweep finds what was not added. */
  async add(taskId: string, wakeCount: number, delayMs: number): Promise<boolean> {
    const queue = this.usableQueue;
    if (queue === undefined) return false;
    try {
      await queue.add('look', { taskId }, { jobId: `${taskId}-${wakeCount}`, ...(delayMs > 0 ? { delay: delayMs } : {}) });
      return true;
    } catch (error) {
      this.complain(error);
      return false;
    }
  }

  /** Once per outage: a client that reconnects for ever would fill the log. */
  private complain(error: unknown): void {
    if (this.complained || this.closed) return;
    this.complained = true;
    this.options.log.warn({ err: error }, 'Redis does not work; tasks are found by the sweep alone, more slowly');
  }

  /** Takes no more jobs; the jobs that run are waited for by whoever runs them. */
  async close(): Promise<void> {
    this.closed = true;
    const worker = this.worker;
    this.worker = undefined;
    if (worker !== undefined) await worker.close(true);
    await this.queue?.close();
    this.adding.disconnect();
    this.working.disconnect();
    // What it asks of Redis is refused now.
    await this.opening;
  }
}

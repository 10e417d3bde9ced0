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
  private readonly queue: Queue;
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
    });
    this.queue = new Queue(`tok-${service}-tasks`, { connection: this.adding, skipWaitingForReady: true, defaultJobOptions: { removeOnComplete: true, removeOnFail: true, attempts: 1 } });
    this.queue.on('error', (error) => { this.complain(error); });
  }

  /** Throws when Redis is reachable and would evict wake-ups. Without Redis it opens all the same. */
  static async open(options: WakeQueueOptions): Promise<WakeQueue> {
    const wakes = new WakeQueue(options);
    const policy = await wakes.evictionPolicy();
    if (policy !== undefined && policy !== 'noeviction') {
      await wakes.close();
      throw new Error(`Redis has maxmemory-policy ${policy}; it must be noeviction, or wake-ups disappear`);
    }
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

  private work(): void {
    const { service, concurrency, look } = this.options;
    this.worker = new Worker(`tok-${service}-tasks`, (job) => look(String((job.data as { taskId?: unknown }).taskId)), { connection: this.working, concurrency });
    this.worker.on('error', (error) => { this.complain(error); });
  }

  /** Whether an add would reach Redis now. */
  get usable(): boolean {
    return !this.closed && this.adding.status === 'ready';
  }

  /** `wakeCount` names the reason: the same reason twice is one job. Never throws; the sweep finds what was not added. */
  async add(taskId: string, wakeCount: number, delayMs: number): Promise<boolean> {
    if (!this.usable) return false;
    try {
      await this.queue.add('look', { taskId }, { jobId: `${taskId}-${wakeCount}`, ...(delayMs > 0 ? { delay: delayMs } : {}) });
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
    await this.queue.close();
    this.adding.disconnect();
    this.working.disconnect();
  }
}

// Breaks the pool as the plan says, and starts again what was killed, and what has ended of itself, as whoever runs
// services does. What happens to one process happens one after another; different ones overlap.
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { services } from '#contracts';
import { agentName, crash, freeze, startAgain, thaw } from '../e2e/lab.mjs';
import type { World } from '../e2e/world.ts';
import type { Strike } from './chaos-plan.ts';

const LOOK_MS = 500;
const UP_WITHIN_MS = 30_000;

export class Breaker {
  /** Processes that ended without being killed, by name; each was started again. */
  readonly ownEnds: string[] = [];
  readonly struck: Strike[] = [];
  private readonly names: readonly string[];
  private readonly busy = new Map<string, Promise<void>>();
  private readonly down = new Set<string>();
  private readonly timer: NodeJS.Timeout;
  private readonly over = new AbortController();

  constructor(private readonly world: World, private readonly file: string) {
    this.names = [...services, 'nats', 'redis', 'mariadb', ...agentsOf(world)];
    this.timer = setInterval(() => { this.startWhatEnded(); }, LOOK_MS);
  }

  /** Goes through the plan; resolves when all of it has been done and taken back. */
  async run(plan: readonly Strike[]): Promise<void> {
    const startedAt = performance.now();
    for (const strike of plan) {
      await sleep(Math.max(0, startedAt + strike.atMs - performance.now()), undefined, { signal: this.over.signal }).catch(() => undefined);
      if (this.over.signal.aborted) break;
      const before = this.busy.get(strike.victim) ?? Promise.resolve();
      this.busy.set(strike.victim, before.then(() => this.strike(strike)));
    }
    await Promise.all(this.busy.values());
  }

  /** Breaks nothing more; what is down comes back. */
  async end(): Promise<void> {
    this.over.abort();
    await Promise.all(this.busy.values());
    clearInterval(this.timer);
    this.startWhatEnded();
  }

  private async strike(strike: Strike): Promise<void> {
    const { what, victim, forMs } = strike;
    const { lab } = this.world;
    appendFileSync(this.file, `${JSON.stringify({ at: new Date().toISOString(), ...strike })}\n`);
    if (what === 'flush') await this.flush();
    else if (what === 'freeze') {
      freeze(lab, victim);
      await sleep(forMs);
      thaw(lab, victim);
    } else {
      this.down.add(victim);
      await crash(lab, victim);
      await sleep(forMs);
      startAgain(lab, victim);
      this.down.delete(victim);
    }
    this.struck.push(strike);
  }

  private async flush(): Promise<void> {
    const redis = new Redis(this.world.record.redis.url, { retryStrategy: () => 200 });
    redis.on('error', () => undefined); // it was killed a moment ago, and is connected to again
    try {
      await Promise.race([redis.flushall(), sleep(UP_WITHIN_MS).then(() => { throw new Error(`Redis was not there to be emptied within ${UP_WITHIN_MS} ms`); })]);
    } finally {
      redis.disconnect();
    }
  }

  private startWhatEnded(): void {
    for (const name of this.names) {
      if (this.down.has(name) || this.world.lab.processes.isAlive(name)) continue;
      this.ownEnds.push(name);
      startAgain(this.world.lab, name);
    }
  }
}

export const agentsOf = ({ record }: World): string[] => record.hosts.map(({ name }) => agentName(name));
